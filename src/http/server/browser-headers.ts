// What browsers are told of the pages that are served from here: nothing but their own files, and never in a frame.

import type { FastifyHelmetOptions } from '@fastify/helmet';

export const browserHeaders: FastifyHelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      connectSrc: ["'self'"],
      // A picture that was chosen or made has a blob: address.
      imgSrc: ["'self'", 'data:', 'blob:'],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  xFrameOptions: { action: 'deny' },
  // TLS ends before this server, and so does the promise to use it.
  strictTransportSecurity: false,
};
