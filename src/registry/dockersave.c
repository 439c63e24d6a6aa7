#include "registry/dockersave.h"

#include "base/digest.h"
#include "base/file.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

const char dockersave_manifest[] = "manifest.json";

static const struct json_row image_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "Config", struct saved_image, config, true),
	JSON_ROW(JSON_ROW_TEXTS, "RepoTags", struct saved_image, names, false),
	JSON_ROW(JSON_ROW_TEXTS, "Layers", struct saved_image, layers, true),
};

void dockersave_clear(struct saved_images *images)
{
	for (size_t i = 0; i < images->count; i++)
		json_clear(&images->items[i], image_rows, COUNT_OF(image_rows));
	free(images->items);
	*images = (struct saved_images){0};
}

static int decode(struct saved_images *into, const json_t *list, struct annex_error **err)
{
	size_t count = json_array_size(list);

	if (!json_is_array(list) || count == 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: not a list of images", dockersave_manifest);
	if (count > DOCKERSAVE_IMAGE_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: more than %u images", dockersave_manifest,
			    DOCKERSAVE_IMAGE_LIMIT);
	into->items = calloc(count, sizeof(*into->items));
	if (!into->items)
		return fail_memory(err);
	into->count = count;
	for (size_t i = 0; i < count; i++) {
		if (json_decode(&into->items[i], json_array_get(list, i), image_rows, COUNT_OF(image_rows),
				dockersave_manifest, err) < 0)
			return -1;
		if (into->items[i].layers.count > MANIFEST_LAYER_LIMIT)
			return fail(err, ANNEX_ERROR_CORRUPT, "%s: more than %u layers", dockersave_manifest,
				    MANIFEST_LAYER_LIMIT);
	}
	return 0;
}

int dockersave_read(struct saved_images *ret, const struct bundle *bundle, struct annex_error **err)
{
	auto_json json_t *list = NULL;
	auto_free char *bytes = NULL;
	struct saved_images made = {0};
	size_t size = 0;
	int result = bundle_read(&bytes, &size, bundle, dockersave_manifest, DOCKERSAVE_SIZE_LIMIT);

	if (result < 0)
		return fail_os(err, result, "cannot read %s", dockersave_manifest);
	if (json_parse(&list, bytes, size, dockersave_manifest, err) < 0)
		return -1;
	if (decode(&made, list, err) < 0) {
		dockersave_clear(&made);
		return -1;
	}
	*ret = made;
	return 0;
}

/* The files are called by what they hold: "HEX.json" before Docker 25, "blobs/sha256/HEX" since. */
static bool name_claims(char claimed[DIGEST_TEXT], const char *name)
{
	const char *last = path_name(name);

	if (strspn(last, "0123456789abcdef") != 64 || (last[64] && last[64] != '.'))
		return false;
	snprintf(claimed, DIGEST_TEXT, "sha256:%.64s", last);
	return true;
}

static int read_config(char **ret, size_t *ret_size, char digest[DIGEST_TEXT], const struct bundle *bundle,
		       const char *name, struct annex_error **err)
{
	char claimed[DIGEST_TEXT];
	auto_free char *bytes = NULL;
	int result = bundle_read(&bytes, ret_size, bundle, name, CONFIG_SIZE_LIMIT);

	if (result == -ENOENT) {
		fail(err, ANNEX_ERROR_CORRUPT, "the image's configuration %.100s is missing", name);
		return fail_hint(err, "the archive is incomplete: make it again");
	}
	if (result < 0)
		return fail_os(err, result, "cannot read the image's configuration %.100s", name);
	digest_of(digest, bytes, *ret_size);
	if (name_claims(claimed, name) && strcmp(claimed, digest) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "image configuration %s: the digest of its contents is %s",
			    claimed, digest);
	*ret = TAKE(bytes);
	return 0;
}

static int digest_fd(char digest[DIGEST_TEXT], int fd)
{
	auto_free char *path = NULL;

	if (asprintf(&path, "/proc/self/fd/%d", fd) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return digest_of_file(digest, AT_FDCWD, path);
}

/* A plain layer's digest is its diff id; whoever unpacks it checks that. */
static int describe_layer(json_t **ret, const struct bundle *bundle, const char *name, const char *diff_id,
			  struct annex_error **err)
{
	uint64_t layer_size;
	auto_close int fd = bundle_open(&layer_size, bundle, name);
	enum media_compression compression;
	char digest[DIGEST_TEXT], head[8];
	ssize_t n;
	int result;

	if (fd == -ENOENT) {
		fail(err, ANNEX_ERROR_CORRUPT, "layer %.100s is missing", name);
		return fail_hint(err, "the archive is incomplete: make it again");
	}
	if (fd < 0)
		return fail_os(err, fd, "cannot open layer %.100s", name);
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return fail_os(err, errno, "cannot read layer %.100s", name);
	compression = media_sniff(head, (size_t)n);
	snprintf(digest, sizeof(digest), "%s", diff_id);
	result = compression == MEDIA_PLAIN ? 0 : digest_fd(digest, fd);
	if (result < 0)
		return fail_os(err, result, "cannot read layer %.100s", name);
	*ret = json_pack("{s:s, s:s, s:I}", "mediaType", media_layer_name(compression), "digest", digest, "size",
			 (json_int_t)layer_size);
	return *ret ? 0 : fail_memory(err);
}

/* The manifest's text. */
static int compose(char **ret, const struct bundle *bundle, const struct saved_image *image,
		   const struct image_config *config, const char *config_digest, size_t config_size,
		   struct annex_error **err)
{
	auto_json json_t *layers = json_array(), *manifest = NULL;
	char *text;

	if (image->layers.count != config->diff_ids.count)
		return fail(err, ANNEX_ERROR_CORRUPT,
			    "the archive lists %zu layers, but the image's configuration has %zu", image->layers.count,
			    config->diff_ids.count);
	for (size_t i = 0; layers && i < image->layers.count; i++) {
		json_t *layer = NULL;

		if (describe_layer(&layer, bundle, image->layers.items[i], config->diff_ids.items[i], err) < 0)
			return -1;
		if (json_array_append_new(layers, layer) < 0)
			return fail_memory(err);
	}
	manifest = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:O}", "schemaVersion", 2, "mediaType", media_oci_manifest,
			     "config", "mediaType", media_oci_config, "digest", config_digest, "size",
			     (json_int_t)config_size, "layers", layers);
	text = manifest ? json_text(manifest, false) : NULL;
	if (!text)
		return fail_memory(err);
	*ret = text;
	return 0;
}

int dockersave_resolve(struct image_manifest *ret, const struct bundle *bundle, const struct saved_image *image,
		       struct annex_error **err)
{
	auto_image_config struct image_config config = {0};
	auto_document struct document document = {0};
	auto_free char *bytes = NULL, *manifest = NULL;
	char config_digest[DIGEST_TEXT], digest[DIGEST_TEXT];
	struct image_manifest made;
	size_t size = 0;

	if (read_config(&bytes, &size, config_digest, bundle, image->config, err) < 0)
		return -1;
	if (image_config_decode(&config, bytes, size, err) < 0)
		return -1;
	if (compose(&manifest, bundle, image, &config, config_digest, size, err) < 0)
		return -1;
	assert(manifest);
	if (document_decode(&document, manifest, strlen(manifest), NULL, err) < 0)
		return -1;
	if (resolve_assemble(&made, &document, TAKE(bytes), size, err) < 0)
		return -1;
	digest_of(digest, manifest, strlen(manifest));
	made.size = strlen(manifest);
	made.bytes = TAKE(manifest);
	made.digest = strdup(digest);
	if (!made.digest) {
		image_manifest_clear(&made);
		return fail_memory(err);
	}
	*ret = made;
	return 0;
}
