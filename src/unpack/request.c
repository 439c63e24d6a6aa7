#include "unpack/request.h"

#include "base/digest.h"
#include "json/json.h"

#include <string.h>

/* A layer as it stands in the document. */
struct request_texts {
	char *source, *compression, *digest, *diff_id;
	uint64_t size;
	int64_t blob, index, donor_index, donor_disk;
};

static const struct json_row rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "source", struct request_texts, source, true),
	JSON_ROW(JSON_ROW_TEXT, "compression", struct request_texts, compression, true),
	JSON_ROW(JSON_ROW_TEXT, "digest", struct request_texts, digest, true),
	JSON_ROW(JSON_ROW_TEXT, "diff_id", struct request_texts, diff_id, true),
	JSON_ROW(JSON_ROW_U64, "size", struct request_texts, size, true),
	JSON_ROW(JSON_ROW_I64, "blob", struct request_texts, blob, false),
	JSON_ROW(JSON_ROW_I64, "index", struct request_texts, index, true),
	JSON_ROW(JSON_ROW_I64, "donor_index", struct request_texts, donor_index, false),
	JSON_ROW(JSON_ROW_I64, "donor_disk", struct request_texts, donor_disk, false),
};

static const char *const sources[] = {
	[ROOTFS_DECODE] = "decode",
	[ROOTFS_COPY] = "copy",
	[ROOTFS_KEEP] = "keep",
};

static const char *const compressions[] = {
	[ROOTFS_PLAIN] = "plain",
	[ROOTFS_GZIP] = "gzip",
	[ROOTFS_ZSTD] = "zstd",
};

/* The place of a word in a list; `count` when it is not there. */
static size_t find(const char *const *words, size_t count, const char *word)
{
	size_t at = 0;

	while (at < count && strcmp(words[at], word) != 0)
		at++;
	return at;
}

void request_clear(struct request *request)
{
	for (size_t i = 0; i < request->count; i++)
		json_clear(&request->texts[i], rows, COUNT_OF(rows));
	free(request->texts);
	free(request->layers);
	*request = (struct request){0};
}

char *request_encode(const struct rootfs_layer *layers, size_t count)
{
	auto_json json_t *document = json_object();
	json_t *list = json_array();

	if (json_object_set_new(document, "layers", list) < 0)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		const struct rootfs_layer *layer = &layers[i];
		const struct request_texts texts = {
			.source = (char *)sources[layer->source],
			.compression = (char *)compressions[layer->compression],
			.digest = (char *)layer->digest,
			.diff_id = (char *)layer->diff_id,
			.size = layer->size,
			.blob = layer->source == ROOTFS_DECODE ? layer->fd : -1,
			.index = layer->index,
			.donor_index = layer->source == ROOTFS_COPY ? layer->donor_index : -1,
			.donor_disk = layer->source == ROOTFS_COPY ? layer->donor_disk : -1,
		};

		if (json_array_append_new(list, json_encode(&texts, rows, COUNT_OF(rows))) < 0)
			return NULL;
	}
	return json_text(document, false);
}

/* A descriptor that is needed is one of those that come with layers; one that is not is not there. */
static int take_fd(int *ret, int64_t number, bool needed, size_t count, struct annex_error **err)
{
	bool is_one = number >= REQUEST_FIRST_FD && number < REQUEST_FIRST_FD + (int64_t)count * REQUEST_LAYER_FDS;

	if (needed ? !is_one : number != -1)
		return fail(err, ANNEX_ERROR_CORRUPT, "request: a descriptor is out of range");
	*ret = (int)number;
	return 0;
}

static int take_layer(struct rootfs_layer *ret, const struct request_texts *texts, size_t count,
		      struct annex_error **err)
{
	size_t source = find(sources, COUNT_OF(sources), texts->source);
	size_t compression = find(compressions, COUNT_OF(compressions), texts->compression);

	if (source == COUNT_OF(sources) || compression == COUNT_OF(compressions))
		return fail(err, ANNEX_ERROR_CORRUPT, "request: unknown source or compression");
	if (!digest_is_valid(texts->digest) || !digest_is_valid(texts->diff_id))
		return fail(err, ANNEX_ERROR_CORRUPT, "request: a digest is none");
	*ret = (struct rootfs_layer){.source = (enum rootfs_source)source,
				     .compression = (enum rootfs_compression)compression,
				     .digest = texts->digest,
				     .diff_id = texts->diff_id,
				     .size = texts->size};
	if (take_fd(&ret->fd, texts->blob, source == ROOTFS_DECODE, count, err) < 0 ||
	    take_fd(&ret->index, texts->index, true, count, err) < 0 ||
	    take_fd(&ret->donor_index, texts->donor_index, source == ROOTFS_COPY, count, err) < 0)
		return -1;
	return take_fd(&ret->donor_disk, texts->donor_disk, source == ROOTFS_COPY, count, err);
}

static int take_all(struct request *request, const json_t *list, struct annex_error **err)
{
	size_t i, count = json_array_size(list);
	json_t *item;

	if (!json_is_array(list) || count > REQUEST_LAYERS)
		return fail(err, ANNEX_ERROR_CORRUPT, "request: not a list of at most %u layers", REQUEST_LAYERS);
	request->layers = calloc(count + 1, sizeof(*request->layers));
	request->texts = calloc(count + 1, sizeof(*request->texts));
	if (!request->layers || !request->texts)
		return fail_memory(err);
	request->count = count;
	json_array_foreach(list, i, item)
	{
		struct request_texts *texts = &request->texts[i];

		texts->blob = texts->donor_index = texts->donor_disk = -1;
		if (json_decode(texts, item, rows, COUNT_OF(rows), "request", err) < 0 ||
		    take_layer(&request->layers[i], texts, count, err) < 0)
			return -1;
	}
	return 0;
}

int request_decode(struct request *ret, const char *bytes, size_t size, struct annex_error **err)
{
	auto_json json_t *document = NULL;
	struct request request = {0};

	if (size > REQUEST_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "request: larger than %u bytes", REQUEST_LIMIT);
	if (json_parse(&document, bytes, size, "request", err) < 0)
		return -1;
	if (take_all(&request, json_object_get(document, "layers"), err) < 0) {
		request_clear(&request);
		return -1;
	}
	*ret = request;
	return 0;
}
