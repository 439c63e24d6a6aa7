/*
 * A source is a bundle of files (registry/bundle.h) that is read in one of two ways: as an OCI layout (index.json and
 * blobs by digest) or as docker-archive (manifest.json and files by name). Archives of Docker since 25 are both: then
 * the spelling decides, since tags mean RepoTags for the one and annotations for the other.
 */
#include "registry/source.h"

#include "base/digest.h"
#include "base/file.h"
#include "registry/dockersave.h"
#include "registry/reference.h"
#include "registry/suggest.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const char index_file[] = "index.json";
static const char layout_file[] = "oci-layout";

struct scheme {
	const char *prefix;
	bool archive;
	bool prefer_docker;
};

static const struct scheme schemes[] = {
	{"oci:", false, false},
	{"oci-archive:", true, false},
	{"docker-archive:", true, true},
};
static const struct scheme standard_input = {"-", true, false};

struct image_source {
	const struct scheme *scheme;
	char *path;       /* as errors have it; "standard input" for "-" */
	const char *file; /* as names are made from it */
	char *tag;        /* or NULL */
	struct bundle *bundle;
	bool docker;
	struct document index;     /* of a layout */
	struct saved_images saved; /* of docker-archive */
	const struct saved_image *chosen;
	char *name;
};

static const struct scheme *find_scheme(const char *text)
{
	for (size_t i = 0; i < COUNT_OF(schemes); i++) {
		if (text_starts(text, schemes[i].prefix))
			return &schemes[i];
	}
	return strcmp(text, "-") == 0 ? &standard_input : NULL;
}

bool image_source_is_spec(const char *text)
{
	return find_scheme(text) != NULL;
}

/* PATH[:TAG]: a path may hold colons, so the longest one that exists is taken. */
static int split_path(struct image_source *source, const char *text, struct annex_error **err)
{
	auto_free char *path = strdup(text);
	char *colon;

	if (!path)
		return fail_memory(err);
	while (!file_exists(AT_FDCWD, path) && (colon = strrchr(path, ':')))
		*colon = '\0';
	if (!*path)
		return fail(err, ANNEX_ERROR_USAGE, "the path is missing");
	if (!file_exists(AT_FDCWD, path))
		return fail(err, ANNEX_ERROR_NOT_FOUND, "%s does not exist", path);
	if (text[strlen(path)]) {
		source->tag = strdup(text + strlen(path) + 1);
		if (!source->tag)
			return fail_memory(err);
		if (!*source->tag)
			return fail(err, ANNEX_ERROR_USAGE, "the tag behind the colon is missing");
	}
	source->path = TAKE(path);
	return 0;
}

static int open_folder(struct image_source *source, struct annex_error **err)
{
	int fd = open(source->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOTDIR) {
		fail(err, ANNEX_ERROR_USAGE, "%s is not a folder", source->path);
		return fail_hint(err, "for an archive: oci-archive:%s or docker-archive:%s", source->path,
				 source->path);
	}
	if (fd < 0)
		return fail_os(err, errno, "cannot open %s", source->path);
	return bundle_from_folder(&source->bundle, fd, err);
}

static int open_archive(struct image_source *source, const struct image_source_options *options,
			struct annex_error **err)
{
	bool from_input = source->scheme == &standard_input;
	auto_close int opened = from_input ? -EBADF : open(source->path, O_RDONLY | O_CLOEXEC);
	int fd = from_input ? options->input_fd : opened;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_os(err, errno, "cannot open %s", source->path);
	if (S_ISDIR(st.st_mode)) {
		fail(err, ANNEX_ERROR_USAGE, "%s is a folder, not an archive", source->path);
		return from_input ? -1 : fail_hint(err, "for an OCI layout: oci:%s", source->path);
	}
	if (isatty(fd)) {
		fail(err, ANNEX_ERROR_USAGE, "%s is a terminal, not an archive", source->path);
		return fail_hint(err, "docker save debian:12 | annex image import -");
	}
	return bundle_from_archive(&source->bundle, fd, source->path, options->temporary_folder, options->progress,
				   options->data, err);
}

static int read_layout(struct image_source *source, struct annex_error **err)
{
	auto_free char *bytes = NULL, *version = NULL;
	auto_json json_t *layout = NULL;
	const char *text;
	size_t size = 0;
	int result = bundle_read(&version, &size, source->bundle, layout_file, 4096);

	if (result < 0)
		return fail_os(err, result, "cannot read %s", layout_file);
	if (json_parse(&layout, version, size, layout_file, err) < 0)
		return -1;
	text = json_string_value(json_object_get(layout, "imageLayoutVersion"));
	if (!text || !text_starts(text, "1."))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s: imageLayoutVersion is '%.20s', not 1.0.0", layout_file,
			    text ? text : "");
	result = bundle_read(&bytes, &size, source->bundle, index_file, MANIFEST_SIZE_LIMIT);
	if (result < 0)
		return fail_os(err, result, "cannot read %s", index_file);
	if (document_decode(&source->index, bytes, size, media_oci_index, err) < 0)
		return fail_while(err, "%s", index_file);
	if (source->index.type->kind != MEDIA_INDEX)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: not an index", index_file);
	return 0;
}

/* Decides what the files are, and reads the list of images. */
static int read_contents(struct image_source *source, struct annex_error **err)
{
	const struct scheme *scheme = source->scheme;
	bool layout = bundle_has(source->bundle, layout_file) && bundle_has(source->bundle, index_file);
	bool docker = scheme->archive && bundle_has(source->bundle, dockersave_manifest);

	if (!layout && !docker) {
		fail(err, ANNEX_ERROR_CORRUPT, "%s holds no image: there is no %s and %s%s", source->path, layout_file,
		     index_file, scheme->archive ? ", nor the manifest.json of docker save" : "");
		return fail_hint(err, "'docker save' and 'skopeo copy … oci:DIR' make images that can be imported");
	}
	source->docker = docker && (scheme->prefer_docker || !layout);
	return source->docker ? dockersave_read(&source->saved, source->bundle, err) : read_layout(source, err);
}

int image_source_open(struct image_source **ret, const char *spec, const struct image_source_options *options,
		      struct annex_error **err)
{
	auto_image_source struct image_source *source = calloc(1, sizeof(*source));
	const struct scheme *scheme = find_scheme(spec);
	int result;

	if (!source)
		return fail_memory(err);
	if (!scheme) {
		fail(err, ANNEX_ERROR_USAGE, "'%.200s' is not a source of images", spec);
		return fail_hint(err, "sources are oci:DIR, oci-archive:FILE, docker-archive:FILE and -");
	}
	source->scheme = scheme;
	if (scheme == &standard_input) {
		source->path = strdup("standard input");
		source->file = "image";
		result = source->path ? 0 : fail_memory(err);
	} else {
		result = split_path(source, spec + strlen(scheme->prefix), err);
		source->file = source->path;
	}
	if (result < 0)
		return -1;
	assert(source->path);
	if (scheme->archive)
		result = open_archive(source, options, err);
	else
		result = open_folder(source, err);
	if (result < 0 || read_contents(source, err) < 0)
		return -1;
	*ret = TAKE(source);
	return 0;
}

void image_source_free(struct image_source *source)
{
	if (!source)
		return;
	free(source->path);
	free(source->tag);
	bundle_free(source->bundle);
	document_clear(&source->index);
	dockersave_clear(&source->saved);
	free(source->name);
	free(source);
}

static void blob_path(char path[96], const char *digest)
{
	snprintf(path, 96, "blobs/sha256/%s", digest_hex(digest));
}

static int fetch_blob(char **ret, size_t *ret_size, const struct descriptor *wanted, size_t limit, void *data,
		      struct annex_error **err)
{
	struct image_source *source = data;
	char path[96];
	int result;

	blob_path(path, wanted->digest);
	result = bundle_read(ret, ret_size, source->bundle, path, limit);
	if (result == -ENOENT) {
		fail(err, ANNEX_ERROR_CORRUPT, "%s is missing in %s", wanted->digest, source->path);
		return fail_hint(err, "the copy of the image is incomplete: make it again");
	}
	if (result == -EFBIG)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s is larger than %zu MiB", wanted->digest, limit >> 20);
	return result < 0 ? fail_os(err, result, "cannot read %s in %s", wanted->digest, source->path) : 0;
}

/* Several images and nothing that says which: list them. */
static int ambiguous(const struct image_source *source, const struct text_list *names, struct annex_error **err)
{
	auto_text struct text list = {0};

	for (size_t i = 0; i < names->count && i < 32; i++)
		text_printf(&list, "%s%.100s", i ? ", " : "", names->items[i]);
	if (names->count == 0)
		text_add(&list, "none with a name");
	if (!text_ok(&list))
		return fail_memory(err);
	if (source->tag)
		fail(err, ANNEX_ERROR_NOT_FOUND, "there is no image '%.100s' in %s; there is %s", source->tag,
		     source->path, list.data);
	else
		fail(err, ANNEX_ERROR_NOT_FOUND, "there are several images in %s: %s", source->path, list.data);
	if (source->scheme == &standard_input)
		return fail_hint(err, "save one image only, or import from a file with a tag behind its name");
	return fail_hint(err, "say which: %s%s:%s", source->scheme->prefix, source->path,
			 names->count ? names->items[0] : "TAG");
}

static const char *entry_name(const struct descriptor *entry)
{
	return entry->image_name ? entry->image_name : entry->ref_name;
}

static bool entry_matches(const struct descriptor *entry, const char *tag)
{
	return suggest_matches(entry->ref_name, tag) || suggest_matches(entry->image_name, tag);
}

/* Entries with the tag; without a tag all, if they are one image: one name, or several names of one digest. */
static int choose_entries(struct descriptor *ret, size_t *ret_count, const struct image_source *source,
			  struct annex_error **err)
{
	CLEANUP(text_list_clear) struct text_list names = {0};
	const struct descriptor *named = NULL;
	bool several = false;
	size_t count = 0;

	for (size_t i = 0; i < source->index.count; i++) {
		const struct descriptor *entry = &source->index.items[i];
		const char *name = entry_name(entry);

		if (name && text_list_add(&names, name) < 0)
			return fail_memory(err);
		if (source->tag && !entry_matches(entry, source->tag))
			continue;
		ret[count++] = *entry;
		several |= name && named && !text_equal(name, entry_name(named)) &&
			   strcmp(entry->digest, named->digest) != 0;
		named = name ? entry : named;
	}
	if ((source->tag && count == 0) || (!source->tag && several))
		return ambiguous(source, &names, err);
	*ret_count = count;
	return 0;
}

static int resolve_layout(struct image_manifest *ret, struct image_source *source, const struct platform *platform,
			  struct annex_error **err)
{
	auto_free struct descriptor *roots = calloc(source->index.count + 1, sizeof(*roots));
	size_t count = 0;
	const struct descriptor *entry;

	if (!roots)
		return fail_memory(err);
	if (choose_entries(roots, &count, source, err) < 0)
		return -1;
	if (resolve_manifest(ret, roots, count, platform, fetch_blob, source, err) < 0)
		return -1;
	entry = &roots[ret->entry];
	source->name = suggest_name(entry->image_name, entry->ref_name, source->file, source->tag);
	if (source->name)
		return 0;
	image_manifest_clear(ret);
	return fail_memory(err);
}

static bool saved_matches(const struct saved_image *image, const char *tag)
{
	for (size_t i = 0; i < image->names.count; i++) {
		if (suggest_matches(image->names.items[i], tag))
			return true;
	}
	return false;
}

static int choose_saved(const struct saved_image **ret, const char **ret_name, const struct image_source *source,
			struct annex_error **err)
{
	CLEANUP(text_list_clear) struct text_list names = {0};
	const struct saved_image *found = NULL;
	size_t matches = 0;

	for (size_t i = 0; i < source->saved.count; i++) {
		const struct saved_image *image = &source->saved.items[i];

		for (size_t j = 0; j < image->names.count; j++) {
			if (text_list_add(&names, image->names.items[j]) < 0)
				return fail_memory(err);
		}
		if (source->tag && !saved_matches(image, source->tag))
			continue;
		found = image;
		matches++;
	}
	if (matches != 1)
		return ambiguous(source, &names, err);
	*ret = found;
	*ret_name = found->names.count ? found->names.items[0] : NULL;
	for (size_t i = 0; source->tag && i < found->names.count; i++) {
		if (suggest_matches(found->names.items[i], source->tag))
			*ret_name = found->names.items[i];
	}
	return 0;
}

static int resolve_saved(struct image_manifest *ret, struct image_source *source, const struct platform *platform,
			 struct annex_error **err)
{
	char there[PLATFORM_LIMIT], wanted[PLATFORM_LIMIT];
	auto_image_manifest struct image_manifest made = {0};
	const char *name = NULL;

	if (choose_saved(&source->chosen, &name, source, err) < 0)
		return -1;
	if (dockersave_resolve(&made, source->bundle, source->chosen, err) < 0)
		return -1;
	if (platform_match(platform, &made.platform) == 0) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "there is no image for %s; there is %s",
		     platform_text(wanted, platform), platform_text(there, &made.platform));
		return fail_hint(err, "--platform %s", there);
	}
	source->name = suggest_name(name, NULL, source->file, NULL);
	if (!source->name)
		return fail_memory(err);
	*ret = made;
	made = (struct image_manifest){0};
	return 0;
}

int image_source_manifest(struct image_manifest *ret, struct image_source *source, const struct platform *platform,
			  struct annex_error **err)
{
	free(TAKE(source->name));
	if (source->docker)
		return resolve_saved(ret, source, platform, err);
	return resolve_layout(ret, source, platform, err);
}

int image_source_open_layer(int *ret_fd, struct image_source *source, const struct image_manifest *manifest,
			    size_t index, struct annex_error **err)
{
	const struct image_layer *layer = &manifest->layers[index];
	auto_close int fd = -EBADF;
	char path[96];
	uint64_t size = 0;

	blob_path(path, layer->digest);
	fd = bundle_open(&size, source->bundle, source->docker ? source->chosen->layers.items[index] : path);
	if (fd == -ENOENT) {
		fail(err, ANNEX_ERROR_CORRUPT, "layer %zu of %zu (%s) is missing in %s", index + 1,
		     manifest->layer_count, layer->digest, source->path);
		return fail_hint(err, "the copy of the image is incomplete: make it again");
	}
	if (fd < 0)
		return fail_os(err, fd, "cannot open layer %zu of %zu (%s)", index + 1, manifest->layer_count,
			       layer->digest);
	if (size != layer->size) {
		fail(err, ANNEX_ERROR_CORRUPT, "layer %zu of %zu (%s) has %llu bytes, not %llu", index + 1,
		     manifest->layer_count, layer->digest, (unsigned long long)size, (unsigned long long)layer->size);
		return fail_hint(err, "the copy of the image is truncated or damaged: make it again");
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

const char *image_source_name(const struct image_source *source)
{
	return source->name;
}
