/*
 * In the order in which everything is known: oci-layout, configuration, layers, manifest, index.json and manifest.json.
 * Blobs that repeat are written once.
 */
#include "registry/imagefile.h"

#include "base/digest.h"
#include "base/file.h"
#include "registry/dockersave.h"
#include "registry/media.h"
#include "registry/reference.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 128 << 10 /* bytes written at once */ };

#define BLOBS     "blobs/sha256/"
#define PATH_SIZE (sizeof(BLOBS) + DIGEST_TEXT)

struct imagefile {
	struct archive *archive;
	int fd;
	int error; /* -errno of a write */
};

struct blob {
	char digest[DIGEST_TEXT];
	size_t size;
};

/* Never fails, as libarchive leaks its buffer then. What comes after an error is dropped. */
static la_ssize_t write_piece(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct imagefile *file = data;

	(void)archive;
	if (file->error == 0)
		file->error = file_write_all(file->fd, bytes, size);
	return (la_ssize_t)size;
}

static int fail_archive(const struct imagefile *file, struct annex_error **err)
{
	const char *text = archive_error_string(file->archive);

	if (file->error)
		return fail_os(err, file->error, "cannot write the archive");
	return fail(err, ANNEX_ERROR_SYSTEM, "cannot make a tar archive (%s)", text ? text : "unknown");
}

int imagefile_put(struct imagefile *file, const void *bytes, size_t size)
{
	la_ssize_t n = archive_write_data(file->archive, bytes, size);

	if (file->error)
		return file->error;
	return n == (la_ssize_t)size ? 0 : -EIO;
}

static int begin_file(struct imagefile *file, const char *path, uint64_t size, struct annex_error **err)
{
	struct archive_entry *entry = archive_entry_new();
	int result;

	if (!entry)
		return fail_memory(err);
	archive_entry_copy_pathname(entry, path);
	archive_entry_set_mode(entry, S_IFREG | 0644);
	archive_entry_set_size(entry, (la_int64_t)size);
	archive_entry_set_mtime(entry, 0, 0);
	result = archive_write_header(file->archive, entry);
	archive_entry_free(entry);
	return result == ARCHIVE_OK && file->error == 0 ? 0 : fail_archive(file, err);
}

static void blob_path(char path[PATH_SIZE], const char *digest)
{
	snprintf(path, PATH_SIZE, BLOBS "%s", digest_hex(digest));
}

static int put_file(struct imagefile *file, const char *path, const char *bytes, size_t size, struct annex_error **err)
{
	int result;

	if (begin_file(file, path, size, err) < 0)
		return -1;
	result = imagefile_put(file, bytes, size);
	return result < 0 ? fail_os(err, result, "cannot write the archive") : 0;
}

/* A document at `path`; NULL: as a blob, whose digest and size are told. Takes value. */
static int put_json(struct imagefile *file, const char *path, struct blob *ret, json_t *value, struct annex_error **err)
{
	auto_json json_t *owned = value;
	auto_free char *text = owned ? json_text(owned, false) : NULL;
	char place[PATH_SIZE];
	struct blob blob;

	if (!text)
		return fail_memory(err);
	blob.size = strlen(text);
	digest_of(blob.digest, text, blob.size);
	blob_path(place, blob.digest);
	if (ret)
		*ret = blob;
	return put_file(file, path ? path : place, text, blob.size, err);
}

static json_t *diff_ids(const struct imagefile_image *image)
{
	json_t *array = json_array();

	for (size_t i = 0; i < image->layer_count; i++)
		json_array_append_new(array, json_string(image->layers[i].digest));
	return array;
}

static int put_config(struct imagefile *file, struct blob *ret, const struct imagefile_image *image,
		      struct annex_error **err)
{
	auto_json json_t *config = NULL;

	if (json_parse(&config, image->config, image->config_size, "image configuration", err) < 0)
		return -1;
	if (json_object_set_new(config, "rootfs",
				json_pack("{s:s, s:o}", "type", "layers", "diff_ids", diff_ids(image))) < 0)
		return fail_memory(err);
	return put_json(file, NULL, ret, json_incref(config), err);
}

static bool is_repeated(const struct imagefile_image *image, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(image->layers[i].digest, image->layers[index].digest) == 0)
			return true;
	}
	return false;
}

static int put_layers(struct imagefile *file, const struct imagefile_image *image, struct annex_error **err)
{
	char path[PATH_SIZE];

	for (size_t i = 0; i < image->layer_count; i++) {
		if (is_repeated(image, i))
			continue;
		blob_path(path, image->layers[i].digest);
		if (begin_file(file, path, image->layers[i].size, err) < 0 ||
		    image->write_layer(file, i, image->data, err) < 0)
			return -1;
	}
	return 0;
}

static json_t *descriptor(const char *media_type, const char *digest, uint64_t size)
{
	return json_pack("{s:s, s:s, s:I}", "mediaType", media_type, "digest", digest, "size", (json_int_t)size);
}

static json_t *manifest_of(const struct imagefile_image *image, const struct blob *config)
{
	json_t *layers = json_array();

	for (size_t i = 0; i < image->layer_count; i++)
		json_array_append_new(layers, descriptor(media_layer_name(MEDIA_PLAIN), image->layers[i].digest,
							 image->layers[i].size));
	return json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType", media_oci_manifest, "config",
			 descriptor(media_oci_config, config->digest, config->size), "layers", layers);
}

/* An entry for each name, or one without. containerd's annotation has the whole name, OCI's the tag. */
static json_t *index_of(const struct imagefile_image *image, const struct blob *manifest)
{
	json_t *entries = json_array();
	size_t i = 0;

	do {
		const char *name = i < image->names->count ? image->names->items[i] : NULL;
		json_t *entry = descriptor(media_oci_manifest, manifest->digest, manifest->size);
		auto_reference struct reference reference = {0};

		if (name && reference_parse(&reference, name, NULL) == 0)
			json_object_set_new(entry, "annotations",
					    json_pack("{s:s, s:s}", "io.containerd.image.name", name,
						      "org.opencontainers.image.ref.name",
						      reference.tag ? reference.tag : "latest"));
		json_array_append_new(entries, entry);
	} while (++i < image->names->count);
	return json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", media_oci_index, "manifests", entries);
}

static json_t *saved_of(const struct imagefile_image *image, const struct blob *config)
{
	json_t *layers = json_array(), *names = json_array();
	char path[PATH_SIZE];

	for (size_t i = 0; i < image->layer_count; i++) {
		blob_path(path, image->layers[i].digest);
		json_array_append_new(layers, json_string(path));
	}
	for (size_t i = 0; i < image->names->count; i++) {
		auto_reference struct reference reference = {0};
		auto_free char *familiar = NULL;

		/* What has a digest is no tag. */
		if (reference_parse(&reference, image->names->items[i], NULL) < 0 || reference.digest)
			continue;
		familiar = reference_familiar(&reference);
		if (familiar)
			json_array_append_new(names, json_string(familiar));
	}
	blob_path(path, config->digest);
	return json_pack("[{s:s, s:o, s:o}]", "Config", path, "RepoTags", names, "Layers", layers);
}

static int finish(struct imagefile *file, struct annex_error **err)
{
	int result = archive_write_close(file->archive);

	return result == ARCHIVE_OK && file->error == 0 ? 0 : fail_archive(file, err);
}

static int put_all(struct imagefile *file, const struct imagefile_image *image, struct annex_error **err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	struct blob config, manifest;

	if (archive_write_set_format_pax_restricted(file->archive) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(file->archive, BLOCK) != ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(file->archive, 1) != ARCHIVE_OK ||
	    archive_write_open(file->archive, file, NULL, write_piece, NULL) != ARCHIVE_OK)
		return fail_archive(file, err);
	if (put_file(file, "oci-layout", layout, strlen(layout), err) < 0 ||
	    put_config(file, &config, image, err) < 0 || put_layers(file, image, err) < 0 ||
	    put_json(file, NULL, &manifest, manifest_of(image, &config), err) < 0 ||
	    put_json(file, "index.json", NULL, index_of(image, &manifest), err) < 0 ||
	    put_json(file, dockersave_manifest, NULL, saved_of(image, &config), err) < 0)
		return -1;
	return finish(file, err);
}

int imagefile_write(int fd, const struct imagefile_image *image, struct annex_error **err)
{
	struct imagefile file = {.fd = fd, .archive = archive_write_new()};
	int result;

	if (!file.archive)
		return fail_memory(err);
	result = put_all(&file, image, err);
	if (result < 0) {
		/* Closes without the rest of the entry, and lets go of the buffer. */
		file.error = file.error ? file.error : -ECANCELED;
		archive_write_fail(file.archive);
		archive_write_close(file.archive);
	}
	archive_write_free(file.archive);
	return result;
}
