#include "registry/media.h"

#include "base/text.h"

#include <string.h>

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

const char media_oci_index[] = OCI "index.v1+json";
const char media_oci_manifest[] = OCI "manifest.v1+json";
const char media_oci_config[] = OCI "config.v1+json";

static const struct media_type types[] = {
	{media_oci_index, MEDIA_INDEX, MEDIA_PLAIN},
	{media_oci_manifest, MEDIA_MANIFEST, MEDIA_PLAIN},
	{media_oci_config, MEDIA_CONFIG, MEDIA_PLAIN},
	/* The first of each compression is what media_layer_name() gives. */
	{OCI "layer.v1.tar", MEDIA_LAYER, MEDIA_PLAIN},
	{OCI "layer.v1.tar+gzip", MEDIA_LAYER, MEDIA_GZIP},
	{OCI "layer.v1.tar+zstd", MEDIA_LAYER, MEDIA_ZSTD},
	{OCI "layer.nondistributable.v1.tar", MEDIA_LAYER, MEDIA_PLAIN},
	{OCI "layer.nondistributable.v1.tar+gzip", MEDIA_LAYER, MEDIA_GZIP},
	{OCI "layer.nondistributable.v1.tar+zstd", MEDIA_LAYER, MEDIA_ZSTD},
	{DOCKER "distribution.manifest.list.v2+json", MEDIA_INDEX, MEDIA_PLAIN},
	{DOCKER "distribution.manifest.v2+json", MEDIA_MANIFEST, MEDIA_PLAIN},
	{DOCKER "container.image.v1+json", MEDIA_CONFIG, MEDIA_PLAIN},
	{DOCKER "image.rootfs.diff.tar", MEDIA_LAYER, MEDIA_PLAIN},
	{DOCKER "image.rootfs.diff.tar.gzip", MEDIA_LAYER, MEDIA_GZIP},
	{DOCKER "image.rootfs.diff.tar.zstd", MEDIA_LAYER, MEDIA_ZSTD},
	{DOCKER "image.rootfs.foreign.diff.tar", MEDIA_LAYER, MEDIA_PLAIN},
	{DOCKER "image.rootfs.foreign.diff.tar.gzip", MEDIA_LAYER, MEDIA_GZIP},
};

static const char *const kinds[] = {
	[MEDIA_INDEX] = "an index",
	[MEDIA_MANIFEST] = "a manifest",
	[MEDIA_CONFIG] = "an image's configuration",
	[MEDIA_LAYER] = "a layer",
};

struct artifact_name {
	const char *prefix;
	const char *name;
};

/* What else is kept in registries, by how its types begin. */
static const struct artifact_name artifact_names[] = {
	{"application/vnd.cncf.helm.", "a Helm chart"},
	{"application/vnd.dev.cosign.", "a signature or attestation of cosign"},
	{"application/vnd.dev.sigstore.", "a signature of sigstore"},
	{"application/vnd.cncf.notary.", "a signature of Notary"},
	{"application/vnd.in-toto", "an attestation"},
	{"application/vnd.cyclonedx", "a bill of materials"},
	{"application/spdx", "a bill of materials"},
	{"text/spdx", "a bill of materials"},
	{"application/vnd.wasm.", "a WebAssembly module"},
	{"application/vnd.module.wasm", "a WebAssembly module"},
	{"application/wasm", "a WebAssembly module"},
	{"application/vnd.docker.plugin.", "a plugin of Docker"},
	{"application/vnd.docker.ai.", "a model"},
	{"application/vnd.ollama.", "a model"},
	{"application/vnd.cncf.flux.", "a bundle of Flux"},
	{"application/vnd.cnab.", "an application bundle"},
};

static const char *find_artifact(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(artifact_names); i++) {
		if (text_starts(name, artifact_names[i].prefix))
			return artifact_names[i].name;
	}
	return NULL;
}

int media_refuse_artifact(const char *name, struct annex_error **err)
{
	const char *what = find_artifact(name);

	fail(err, ANNEX_ERROR_UNSUPPORTED, "it is an artifact of type '%.100s'%s%s, not an image", name,
	     what ? ", " : "", what ? what : "");
	return fail_hint(err, "a machine needs an image: of a system, or of a program with all that it needs");
}

int media_find(const struct media_type **ret, const char *name, struct annex_error **err)
{
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (strcmp(types[i].name, name) == 0) {
			*ret = &types[i];
			return 0;
		}
	}
	if (find_artifact(name))
		return media_refuse_artifact(name, err);
	if (text_starts(name, DOCKER "distribution.manifest.v1+"))
		fail(err, ANNEX_ERROR_UNSUPPORTED, "the manifest is of Docker's old schema 1, which is not supported");
	else
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "unknown media type '%.100s'", name);
	return fail_hint(err, "push or save the image again with a current tool");
}

int media_expect(const struct media_type **ret, const char *name, enum media_kind kind, struct annex_error **err)
{
	const struct media_type *found;

	if (media_find(&found, name, kind == MEDIA_CONFIG ? NULL : err) < 0) {
		if (kind != MEDIA_CONFIG)
			return -1;
		return media_refuse_artifact(name, err);
	}
	if (found->kind != kind)
		return fail(err, ANNEX_ERROR_CORRUPT, "'%s' stands where %s belongs", name, kinds[kind]);
	*ret = found;
	return 0;
}

char *media_accept(void)
{
	auto_text struct text list = {0};

	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (types[i].kind == MEDIA_INDEX || types[i].kind == MEDIA_MANIFEST)
			text_printf(&list, "%s%s", list.size ? ", " : "", types[i].name);
	}
	return text_take(&list);
}

const char *media_layer_name(enum media_compression compression)
{
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (types[i].kind == MEDIA_LAYER && types[i].compression == compression)
			return types[i].name;
	}
	return NULL;
}

enum media_compression media_sniff(const void *bytes, size_t size)
{
	if (size >= 2 && memcmp(bytes, "\x1f\x8b", 2) == 0)
		return MEDIA_GZIP;
	if (size >= 4 && memcmp(bytes, "\x28\xb5\x2f\xfd", 4) == 0)
		return MEDIA_ZSTD;
	return MEDIA_PLAIN;
}
