#include "base/text.h"
#include "machine/secret.h"
#include "machine/volume.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_volume(const char *text)
{
	auto_volume struct volume volume = {0}, again = {0};
	auto_error struct annex_error *err = NULL;
	auto_free char *spelling = NULL, *second = NULL;

	if (volume_parse(&volume, text, &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_USAGE && annex_error_hint(err));
		return;
	}
	assert(*volume.host == '/' && *volume.guest == '/' && volume.guest[1] && !strchr(volume.guest, ':'));
	spelling = volume_text(&volume);
	assert(spelling);
	if (volume_parse(&again, spelling, NULL) < 0)
		__builtin_trap();
	second = volume_text(&again);
	assert(second && strcmp(second, spelling) == 0 && strcmp(again.guest, volume.guest) == 0);
}

static void check_mask(const char *text)
{
	static const char *const homes[] = {"/home/u", "/", NULL};
	auto_error struct annex_error *err = NULL;
	auto_free char *mask = NULL, *again = NULL;

	if (secret_parse(&mask, text, homes, &err) < 0) {
		assert(annex_error_kind(err) == ANNEX_ERROR_USAGE);
		return;
	}
	assert(*mask && *mask != '/' && mask[strlen(mask) - 1] != '/' && !strstr(mask, "//"));
	if (secret_parse(&again, mask, homes, NULL) < 0 || strcmp(again, mask) != 0)
		__builtin_trap();
}

/* What is accepted has one spelling, which is accepted and means the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size);

	if (text) {
		check_volume(text);
		check_mask(text);
	}
	return 0;
}
