/*
 * Decoding goes by rows (json/json.h): the rows say what a document may hold, the code below what must fit together.
 * A document is what its media type says; where it says nothing (Docker's manifests within old indexes, some OCI
 * tools'), its fields decide. One that could be read as both an index and a manifest is refused, since two readers
 * would see two images behind one digest.
 */
#include "registry/manifest.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/time.h"

#include <assert.h>
#include <string.h>

struct raw_platform {
	char *os, *architecture, *variant;
};

static const struct json_row platform_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "os", struct raw_platform, os, false),
	JSON_ROW(JSON_ROW_TEXT, "architecture", struct raw_platform, architecture, false),
	JSON_ROW(JSON_ROW_TEXT, "variant", struct raw_platform, variant, false),
};

struct raw_annotations {
	char *ref_name, *image_name, *reference_type;
};

static const struct json_row annotation_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "org.opencontainers.image.ref.name", struct raw_annotations, ref_name, false),
	JSON_ROW(JSON_ROW_TEXT, "io.containerd.image.name", struct raw_annotations, image_name, false),
	JSON_ROW(JSON_ROW_TEXT, "vnd.docker.reference.type", struct raw_annotations, reference_type, false),
};

struct raw_descriptor {
	char *media_type, *digest;
	uint64_t size;
	json_t *platform, *annotations;
	char *data;
	struct text_list urls;
};

static const struct json_row descriptor_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "mediaType", struct raw_descriptor, media_type, false),
	JSON_ROW(JSON_ROW_TEXT, "digest", struct raw_descriptor, digest, true),
	JSON_ROW(JSON_ROW_U64, "size", struct raw_descriptor, size, true),
	JSON_ROW(JSON_ROW_VALUE, "platform", struct raw_descriptor, platform, false),
	JSON_ROW(JSON_ROW_VALUE, "annotations", struct raw_descriptor, annotations, false),
	JSON_ROW(JSON_ROW_TEXT, "data", struct raw_descriptor, data, false),
	JSON_ROW(JSON_ROW_TEXTS, "urls", struct raw_descriptor, urls, false),
};

struct raw_document {
	uint64_t version;
	char *media_type, *artifact_type;
	json_t *manifests, *config, *layers, *old_layers;
};

static const struct json_row document_rows[] = {
	JSON_ROW(JSON_ROW_U64, "schemaVersion", struct raw_document, version, true),
	JSON_ROW(JSON_ROW_TEXT, "mediaType", struct raw_document, media_type, false),
	JSON_ROW(JSON_ROW_TEXT, "artifactType", struct raw_document, artifact_type, false),
	JSON_ROW(JSON_ROW_VALUE, "manifests", struct raw_document, manifests, false),
	JSON_ROW(JSON_ROW_VALUE, "config", struct raw_document, config, false),
	JSON_ROW(JSON_ROW_VALUE, "layers", struct raw_document, layers, false),
	JSON_ROW(JSON_ROW_VALUE, "fsLayers", struct raw_document, old_layers, false),
};

static void descriptor_clear(struct descriptor *descriptor)
{
	free(descriptor->media_type);
	free(descriptor->digest);
	free(descriptor->ref_name);
	free(descriptor->image_name);
	free(descriptor->data);
	text_list_clear(&descriptor->urls);
	*descriptor = (struct descriptor){0};
}

static int decode_platform(struct platform *ret, const json_t *value, const char *what, struct annex_error **err)
{
	struct raw_platform raw = {0};
	int result = json_decode(&raw, value, platform_rows, COUNT_OF(platform_rows), what, err);

	if (result == 0 && platform_set(ret, raw.os, raw.architecture, raw.variant) < 0)
		result = fail(err, ANNEX_ERROR_CORRUPT, "%s: the platform is malformed", what);
	json_clear(&raw, platform_rows, COUNT_OF(platform_rows));
	return result;
}

static int decode_annotations(struct descriptor *into, const json_t *value, const char *what, struct annex_error **err)
{
	struct raw_annotations raw = {0};
	int result = json_decode(&raw, value, annotation_rows, COUNT_OF(annotation_rows), what, err);

	into->ref_name = TAKE(raw.ref_name);
	into->image_name = TAKE(raw.image_name);
	into->attestation = text_equal(raw.reference_type, "attestation-manifest");
	json_clear(&raw, annotation_rows, COUNT_OF(annotation_rows));
	return result;
}

static int check_digest(const char *digest, const char *what, struct annex_error **err)
{
	if (digest_is_valid(digest))
		return 0;
	if (strchr(digest, ':') && !text_starts(digest, "sha256:"))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: the digest is not SHA-256 but '%.40s'", what, digest);
	return fail(err, ANNEX_ERROR_CORRUPT, "%s: malformed digest '%.80s'", what, digest);
}

/* Contents that are embedded count only when they are what the descriptor says; else they are asked for as usual. */
static int decode_data(struct descriptor *into, const char *text, struct annex_error **err)
{
	char digest[DIGEST_TEXT];
	auto_free char *bytes = NULL;
	size_t size = 0;
	int result = base64_decode(&bytes, &size, text);

	if (result == -ENOMEM)
		return fail_memory(err);
	if (result < 0 || size != into->size)
		return 0;
	digest_of(digest, bytes, size);
	if (strcmp(digest, into->digest) == 0)
		into->data = TAKE(bytes);
	return 0;
}

/* Only HTTPS: the digest protects what comes, but not who is asked. */
static int keep_urls(struct descriptor *into, const struct text_list *urls, struct annex_error **err)
{
	for (size_t i = 0; i < urls->count && into->urls.count < URL_COUNT_LIMIT; i++) {
		if (text_starts(urls->items[i], "https://") && text_list_add(&into->urls, urls->items[i]) < 0)
			return fail_memory(err);
	}
	return 0;
}

static int decode_descriptor(struct descriptor *into, const json_t *value, const char *what, struct annex_error **err)
{
	struct raw_descriptor raw = {0};
	int result = json_decode(&raw, value, descriptor_rows, COUNT_OF(descriptor_rows), what, err);

	if (result == 0)
		result = check_digest(raw.digest, what, err);
	into->media_type = TAKE(raw.media_type);
	into->digest = TAKE(raw.digest);
	into->size = raw.size;
	if (result == 0 && raw.platform)
		result = decode_platform(&into->platform, raw.platform, what, err);
	if (result == 0 && raw.annotations)
		result = decode_annotations(into, raw.annotations, what, err);
	if (result == 0 && raw.data)
		result = decode_data(into, raw.data, err);
	if (result == 0)
		result = keep_urls(into, &raw.urls, err);
	json_clear(&raw, descriptor_rows, COUNT_OF(descriptor_rows));
	return result;
}

static int decode_items(struct document *into, const json_t *list, const char *what, size_t limit,
			struct annex_error **err)
{
	char name[40];

	if (!json_is_array(list))
		return fail(err, ANNEX_ERROR_CORRUPT, "the %ss are not a list", what);
	if (json_array_size(list) > limit)
		return fail(err, ANNEX_ERROR_CORRUPT, "%zu %ss are more than the limit of %zu", json_array_size(list),
			    what, limit);
	into->items = calloc(json_array_size(list) + 1, sizeof(*into->items));
	if (!into->items)
		return fail_memory(err);
	for (size_t i = 0; i < json_array_size(list); i++) {
		snprintf(name, sizeof(name), "%s %zu", what, i + 1);
		into->count = i + 1;
		if (decode_descriptor(&into->items[i], json_array_get(list, i), name, err) < 0)
			return -1;
	}
	return 0;
}

static int decode_manifest(struct document *into, const struct raw_document *raw, struct annex_error **err)
{
	const struct media_type *type;

	if (!raw->config)
		return fail(err, ANNEX_ERROR_CORRUPT, "config is missing");
	if (decode_descriptor(&into->config, raw->config, "config", err) < 0)
		return -1;
	if (!into->config.media_type)
		return fail(err, ANNEX_ERROR_CORRUPT, "config: mediaType is missing");
	/* Images may have a type as artifacts too; what has not even the configuration of one is that only. */
	if (raw->artifact_type && *raw->artifact_type && media_find(&type, into->config.media_type, NULL) < 0)
		return media_refuse_artifact(raw->artifact_type, err);
	if (media_expect(&type, into->config.media_type, MEDIA_CONFIG, err) < 0)
		return -1;
	if (into->config.size > CONFIG_SIZE_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "config: larger than %u MiB", CONFIG_SIZE_LIMIT >> 20);
	if (decode_items(into, raw->layers, "layer", MANIFEST_LAYER_LIMIT, err) < 0)
		return -1;
	for (size_t i = 0; i < into->count; i++) {
		if (!into->items[i].media_type)
			return fail(err, ANNEX_ERROR_CORRUPT, "layer %zu: mediaType is missing", i + 1);
		if (media_expect(&type, into->items[i].media_type, MEDIA_LAYER, err) < 0)
			return fail_while(err, "layer %zu", i + 1);
		if (into->items[i].size > LAYER_SIZE_LIMIT)
			return fail(err, ANNEX_ERROR_CORRUPT, "layer %zu: larger than %llu GiB", i + 1,
				    LAYER_SIZE_LIMIT >> 30);
	}
	return 0;
}

/* By its own word, by what it was called, or by its fields. */
static const char *type_name(const struct raw_document *raw, const char *said)
{
	if (raw->media_type)
		return raw->media_type;
	if (said)
		return said;
	return raw->manifests ? media_oci_index : media_oci_manifest;
}

/* Which of the two it is. */
static int find_type(const struct media_type **ret, const struct raw_document *raw, const char *said,
		     struct annex_error **err)
{
	const char *name = type_name(raw, said);

	if (raw->version == 1 || raw->old_layers)
		return media_find(ret, "application/vnd.docker.distribution.manifest.v1+json", err);
	if (raw->version != 2)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "schemaVersion is not 2");
	if (raw->manifests && (raw->layers || raw->config))
		return fail(err, ANNEX_ERROR_CORRUPT, "it claims to be an index and a manifest at once");
	if (media_find(ret, name, err) < 0)
		return -1;
	if ((*ret)->kind != MEDIA_INDEX && (*ret)->kind != MEDIA_MANIFEST)
		return fail(err, ANNEX_ERROR_CORRUPT, "'%s' is neither an index nor a manifest", name);
	if (said && raw->media_type && strcmp(said, raw->media_type) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "it calls itself '%.100s', but was called '%.100s'",
			    raw->media_type, said);
	return 0;
}

int document_decode(struct document *ret, const char *bytes, size_t size, const char *media_type,
		    struct annex_error **err)
{
	auto_json json_t *value = NULL;
	auto_document struct document made = {0};
	struct raw_document raw = {0};
	int result;

	if (size > MANIFEST_SIZE_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "manifest: larger than %u MiB", MANIFEST_SIZE_LIMIT >> 20);
	if (json_parse(&value, bytes, size, "manifest", err) < 0)
		return -1;
	result = json_decode(&raw, value, document_rows, COUNT_OF(document_rows), "manifest", err);
	if (result == 0) {
		result = find_type(&made.type, &raw, media_type, err);
		assert(result < 0 || made.type);
		if (result == 0 && made.type->kind == MEDIA_INDEX)
			result = decode_items(&made, raw.manifests, "manifest", INDEX_LIMIT, err);
		else if (result == 0)
			result = decode_manifest(&made, &raw, err);
		if (result < 0)
			fail_while(err, made.type && made.type->kind == MEDIA_INDEX ? "index" : "manifest");
	}
	json_clear(&raw, document_rows, COUNT_OF(document_rows));
	if (result < 0)
		return -1;
	*ret = made;
	made = (struct document){0};
	return 0;
}

void document_clear(struct document *document)
{
	descriptor_clear(&document->config);
	for (size_t i = 0; i < document->count; i++)
		descriptor_clear(&document->items[i]);
	free(document->items);
	*document = (struct document){0};
}

struct raw_config {
	char *created;
	json_t *config, *rootfs;
};

static const struct json_row config_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "created", struct raw_config, created, false),
	JSON_ROW(JSON_ROW_VALUE, "config", struct raw_config, config, false),
	JSON_ROW(JSON_ROW_VALUE, "rootfs", struct raw_config, rootfs, true),
};

struct raw_rootfs {
	char *type;
	struct text_list diff_ids;
};

static const struct json_row rootfs_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "type", struct raw_rootfs, type, true),
	JSON_ROW(JSON_ROW_TEXTS, "diff_ids", struct raw_rootfs, diff_ids, true),
};

static const struct json_row execution_rows[] = {
	JSON_ROW(JSON_ROW_TEXTS, "Env", struct image_config, env, false),
	JSON_ROW(JSON_ROW_TEXTS, "Cmd", struct image_config, command, false),
	JSON_ROW(JSON_ROW_TEXTS, "Entrypoint", struct image_config, entrypoint, false),
	JSON_ROW(JSON_ROW_TEXT, "User", struct image_config, user, false),
	JSON_ROW(JSON_ROW_TEXT, "WorkingDir", struct image_config, folder, false),
	JSON_ROW(JSON_ROW_TEXT, "StopSignal", struct image_config, stop_signal, false),
	JSON_ROW(JSON_ROW_VALUE, "Labels", struct image_config, labels, false),
};

static int decode_rootfs(struct image_config *into, const json_t *value, struct annex_error **err)
{
	struct raw_rootfs raw = {0};
	int result = json_decode(&raw, value, rootfs_rows, COUNT_OF(rootfs_rows), "rootfs", err);

	if (result == 0 && strcmp(raw.type, "layers") != 0)
		result = fail(err, ANNEX_ERROR_UNSUPPORTED, "rootfs: unknown type '%.40s'", raw.type);
	if (result == 0 && raw.diff_ids.count > MANIFEST_LAYER_LIMIT)
		result = fail(err, ANNEX_ERROR_CORRUPT, "rootfs: more than %u layers", MANIFEST_LAYER_LIMIT);
	for (size_t i = 0; result == 0 && i < raw.diff_ids.count; i++)
		result = check_digest(raw.diff_ids.items[i], "rootfs", err);
	if (result == 0) {
		into->diff_ids = raw.diff_ids;
		raw.diff_ids = (struct text_list){0};
	}
	json_clear(&raw, rootfs_rows, COUNT_OF(rootfs_rows));
	return result;
}

static void drop_empty(char **text)
{
	if (*text && !**text) {
		free(*text);
		*text = NULL;
	}
}

static int decode_execution(struct image_config *into, const json_t *value, struct annex_error **err)
{
	const char *key;
	json_t *label;

	if (json_decode(into, value, execution_rows, COUNT_OF(execution_rows), "config", err) < 0)
		return -1;
	drop_empty(&into->user);
	drop_empty(&into->folder);
	drop_empty(&into->stop_signal);
	if (into->labels && !json_is_object(into->labels))
		return fail(err, ANNEX_ERROR_CORRUPT, "config: Labels: not an object");
	json_object_foreach(into->labels, key, label)
	{
		if (!json_is_string(label))
			return fail(err, ANNEX_ERROR_CORRUPT, "config: Labels: '%.40s' is not a text", key);
	}
	return 0;
}

static int decode_config(struct image_config *into, const json_t *value, struct annex_error **err)
{
	struct raw_config raw = {0};
	int result = json_decode(&raw, value, config_rows, COUNT_OF(config_rows), "document", err);

	if (result == 0)
		result = decode_platform(&into->platform, value, "document", err);
	if (result == 0 && (!*into->platform.os || !*into->platform.architecture))
		result = fail(err, ANNEX_ERROR_CORRUPT, "os or architecture is missing");
	if (result == 0)
		result = decode_rootfs(into, raw.rootfs, err);
	if (result == 0 && raw.config)
		result = decode_execution(into, raw.config, err);
	/* Informative only, and Docker writes the year 1 for "unknown". */
	if (raw.created && time_parse(&into->created, raw.created) < 0)
		into->created = 0;
	json_clear(&raw, config_rows, COUNT_OF(config_rows));
	return result;
}

int image_config_decode(struct image_config *ret, const char *bytes, size_t size, struct annex_error **err)
{
	auto_json json_t *value = NULL;
	auto_image_config struct image_config made = {0};

	if (size > CONFIG_SIZE_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "image configuration: larger than %u MiB",
			    CONFIG_SIZE_LIMIT >> 20);
	if (json_parse(&value, bytes, size, "image configuration", err) < 0)
		return -1;
	if (decode_config(&made, value, err) < 0)
		return fail_while(err, "image configuration");
	*ret = made;
	made = (struct image_config){0};
	return 0;
}

void image_config_clear(struct image_config *config)
{
	json_clear(config, execution_rows, COUNT_OF(execution_rows));
	text_list_clear(&config->diff_ids);
	*config = (struct image_config){0};
}
