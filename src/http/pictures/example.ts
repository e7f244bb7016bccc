// What the console sends when nothing was changed: words that make a good picture, and a starter that fits into a line.

export const examplePrompt = 'comic';
export const exampleNegativePrompt = 'blurry';
export const exampleInfluence = 60;

/** docs/pictures/cottage.png at 64 x 64, as WebP. */
const exampleStarter =
  'data:image/webp;base64,UklGRvYCAABXRUJQVlA4IOoCAADwDwCdASpAAEAAPsFOnkqnpCKhsBgM+PAYCWwAt/FBU74E/RPNUtPYVCU7b27J/Qr6WlgGTu0LDwjsyw5qI6Bl1UNkWUGvtrZFXD7w4edX6r2ekHRccpOl39WD/BwxIiAb2VGD66du/ri6DTgFzUE+OLh/InrPZtlR+pwf/Prgx9YjEGke79hAAP7qagBerlqIJiN7MI3xeVxjDf7RXPtGpwPP7A681qBJhdARu4UELzhNEZpfp/BFsVnz2uQ1mGp5CZplEfYxVtfHJWdFXA45apgiEwK/PahhpLfNfDz+Espp6ZHPiDbJzcUNIEssdJd/f/F8v3FVlBBem2dWnhmhVNxrWxfXFZzLs9HUnZJSVhYIp17wrYD0rnJDkqy4CGxU62FFT7bQyHDp2XJQXxQBAVWbSFDPkVSu941lP6XQpnlA8UYN9VdZpFp5eSNEbrYZpv/x8BpBaPl6sOa4NH/2naS3v2xb1B0G+DMNTfim6YBad5Nep4KwwHVDlWNS3vdISab25bg7J6YW3Y8Ki4YmKPIpQOH+gk8H4wu9ZtdjYs1CmpVhPDgb2xjV+3v+EbKxINNsnPCxo3fonPMC9LKeKTZ+C7X2ASdqN/5JMz7VJ0k8C1UJwVj6OUbMyMqUe9nNVLXCst3nuS1xZ/q+VC6vnmc8cQ3dX7hUukTjJ/gO8WhAQ81NQfs0ldsOpt60lCE5e2xeJNApZzQ2covseDrJ6Vnyqr3e6vDe7uQ6sF8zkDM9HLZxHy6/LbUdGjFvJBkfNO7X8xlKIX5CUGv/JNmjhno2M9ipc2VvUmn/8fjDBL0ksRWS3FnmJVgZQV7FlDjyPZxDfmnCCjXEPH2lnuDQ1keGhPo29x/x3yMH0iE4wDYsZTsY8D/8Em23mYOSskE8vRMV3p9TUL9UqMXezxDEvmei4sBzFkNf+cAb9+hmQwM6Zry2QodppJyPv1CvZHVzNmJr1OCRqgq2qgvDdHcWSHqd5U2sU7kAAA==';

export const exampleBody = {
  image: exampleStarter,
  prompt: examplePrompt,
  negative_prompt: exampleNegativePrompt,
  influence: exampleInfluence,
};
