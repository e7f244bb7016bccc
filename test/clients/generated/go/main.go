// The client that oapi-codegen makes, in use: see ../README.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"

	"client/api"
)

func main() {
	url, key, picture, mask, output := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	client := must(api.NewClientWithResponses(url, header("Authorization", "Bearer "+key)))
	send := func(accept string, fields map[string]string) *api.Img2imgResponse {
		contentType, body := form(picture, mask, fields)
		return must(client.Img2imgWithBodyWithResponse(context.Background(), nil, contentType, body, func(_ context.Context, request *http.Request) error {
			request.Header.Set("Accept", accept)
			return nil
		}))
	}

	bytes := send("image/png", map[string]string{})
	check(os.WriteFile(output, bytes.Body, 0o644))

	two := must(send("application/json", map[string]string{"n": "2"}).JSON200.AsMade())
	seeds := []int64{}
	for _, image := range two.Images {
		seeds = append(seeds, image.Seed)
	}

	refused := send("image/png", map[string]string{"model": "none"})

	contentType, body := form(picture, mask, map[string]string{"size": "128x128"})
	edited := must(client.EditImageWithBodyWithResponse(context.Background(), nil, contentType, body))

	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"seeds":   seeds,
		"status":  refused.StatusCode(),
		"problem": refused.ApplicationproblemJSON404.Code,
		"edited":  edited.JSON200.Data[0].Seed,
	}))
}

// The fields that all requests have, and these.
func form(picture, mask string, fields map[string]string) (string, io.Reader) {
	buffer := &bytes.Buffer{}
	writer := multipart.NewWriter(buffer)
	for name, path := range map[string]string{"image": picture, "mask": mask} {
		part := must(writer.CreateFormFile(name, filepath.Base(path)))
		must(part.Write(must(os.ReadFile(path))))
	}
	all := map[string]string{"prompt": "watercolor painting", "steps": "2", "seed": "4294967295"}
	if fields["size"] == "" {
		all["width"], all["height"] = "128", "128"
	}
	for name, value := range fields {
		all[name] = value
	}
	for name, value := range all {
		check(writer.WriteField(name, value))
	}
	check(writer.Close())
	return writer.FormDataContentType(), buffer
}

func header(name, value string) api.ClientOption {
	return api.WithRequestEditorFn(func(_ context.Context, request *http.Request) error {
		request.Header.Set(name, value)
		return nil
	})
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
