// The client that openapi-generator makes for Java, in use: see ../README.md.

import com.google.gson.Gson;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.OpenAiApi;
import org.openapitools.client.api.PicturesApi;
import org.openapitools.client.model.Edited;
import org.openapitools.client.model.Made;
import org.openapitools.client.model.MadeImagesInner;
import org.openapitools.client.model.Problem;

public class Main {
    /** Where a route has several types, the generated client takes JSON; this one takes what it is told. */
    static class Client extends ApiClient {
        private final String accept;

        Client(String url, String key, String accept) {
            setBasePath(url);
            setBearerToken(key);
            this.accept = accept;
        }

        @Override
        public String selectHeaderContentType(String[] types) {
            return Arrays.asList(types).contains("multipart/form-data") ? "multipart/form-data" : super.selectHeaderContentType(types);
        }

        @Override
        public String selectHeaderAccept(String[] types) {
            return accept;
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        String key = arguments[1];
        File picture = new File(arguments[2]);
        File mask = new File(arguments[3]);
        PicturesApi bytes = new PicturesApi(new Client(url, key, "image/png"));
        PicturesApi json = new PicturesApi(new Client(url, key, "application/json"));
        OpenAiApi openAi = new OpenAiApi(new Client(url, key, "application/json"));

        File png = request(bytes, picture, mask).execute();
        Files.move(png.toPath(), Path.of(arguments[4]), StandardCopyOption.REPLACE_EXISTING);

        Made two = Made.fromJson(Files.readString(request(json, picture, mask).n(2).execute().toPath()));

        Map<String, Object> found = new LinkedHashMap<>();
        found.put("seeds", two.getImages().stream().map(MadeImagesInner::getSeed).toArray());
        try {
            request(bytes, picture, mask).model("none").execute();
        } catch (ApiException refused) {
            found.put("status", refused.getCode());
            found.put("problem", Problem.fromJson(refused.getResponseBody()).getCode());
        }
        Edited edited = openAi.editImage(picture, "watercolor painting").mask(mask).size("128x128").steps(2).seed(4294967295L).execute();
        found.put("edited", edited.getData().get(0).getSeed());
        System.out.println(new Gson().toJson(found));
        System.exit(0);
    }

    static PicturesApi.APIimg2imgRequest request(PicturesApi api, File picture, File mask) {
        return api.img2img(picture).mask(mask).prompt("watercolor painting").width(128).height(128).steps(2).seed(4294967295L);
    }
}
