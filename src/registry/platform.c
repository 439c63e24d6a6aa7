#include "registry/platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* The kernel's name of an architecture, Go's, and the variant that an image without one is for. A missing variant is
 * the lowest that the name stands for, except for arm, where everybody means v7. */
static const struct name {
	const char *kernel, *go, *variant;
} names[] = {
	{"x86_64", "amd64", "v1"},  {"aarch64", "arm64", "v8"},     {"armv8l", "arm", "v7"},
	{"armv7l", "arm", "v7"},    {"armv6l", "arm", "v6"},        {"i686", "386", ""},
	{"i386", "386", ""},        {"ppc64le", "ppc64le", ""},     {"s390x", "s390x", ""},
	{"riscv64", "riscv64", ""}, {"loongarch64", "loong64", ""}, {"mips64", "mips64le", ""},
};

static const struct name *by_kernel_name(const char *kernel)
{
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(names[i].kernel, kernel) == 0)
			return &names[i];
	}
	return NULL;
}

static const char *usual_variant(const char *go)
{
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(names[i].go, go) == 0)
			return names[i].variant;
	}
	return "";
}

static bool is_word(const char *text, bool may_be_empty)
{
	size_t length = strlen(text);

	return (length > 0 || may_be_empty) && length < PLATFORM_LIMIT / 4 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length;
}

int platform_set(struct platform *ret, const char *os, const char *architecture, const char *variant)
{
	os = os ? os : "";
	architecture = architecture ? architecture : "";
	variant = variant ? variant : "";
	if (!is_word(os, true) || !is_word(architecture, true) || !is_word(variant, true))
		return -EINVAL;
	*ret = (struct platform){0};
	strcpy(ret->os, os);
	strcpy(ret->architecture, architecture);
	strcpy(ret->variant, variant);
	return 0;
}

void platform_host(struct platform *ret)
{
	const struct name *name;
	struct utsname host;

	*ret = (struct platform){.os = "linux"};
	if (uname(&host) < 0)
		return;
	name = by_kernel_name(host.machine);
	if (platform_set(ret, "linux", name ? name->go : host.machine, "") < 0)
		*ret = (struct platform){.os = "linux"};
	if (name && strcmp(name->go, "arm") == 0)
		strcpy(ret->variant, name->variant);
}

int platform_parse(struct platform *ret, const char *text, struct annex_error **err)
{
	char buffer[PLATFORM_LIMIT], *os = buffer, *architecture, *variant = NULL;
	const struct name *name;
	struct platform made;

	if (strlen(text) >= sizeof(buffer))
		goto malformed;
	strcpy(buffer, text);
	architecture = strchr(buffer, '/');
	if (architecture) {
		*architecture++ = '\0';
		variant = strchr(architecture, '/');
		if (variant)
			*variant++ = '\0';
	} else {
		architecture = buffer;
		os = NULL;
	}
	if ((os && !is_word(os, false)) || !is_word(architecture, false) || (variant && !is_word(variant, false)))
		goto malformed;
	name = by_kernel_name(architecture);
	if (name && !variant && strcmp(name->go, "arm") == 0)
		variant = (char *)name->variant;
	if (platform_set(&made, os ? os : "linux", name ? name->go : architecture, variant) < 0)
		goto malformed;
	*ret = made;
	return 0;
malformed:
	fail(err, ANNEX_ERROR_USAGE, "'%.80s' is not a platform", text);
	return fail_hint(err, "platforms look like linux/amd64 or linux/arm64");
}

const char *platform_text(char buffer[PLATFORM_LIMIT], const struct platform *platform)
{
	snprintf(buffer, PLATFORM_LIMIT, "%s/%s%s%s", platform->os, platform->architecture,
		 *platform->variant ? "/" : "", platform->variant);
	return buffer;
}

static const char *variant_of(const struct platform *platform)
{
	return *platform->variant ? platform->variant : usual_variant(platform->architecture);
}

/* Variants "v1", "v2" … include the lower ones; others fit only themselves. */
unsigned platform_match(const struct platform *wanted, const struct platform *offered)
{
	const char *want = variant_of(wanted), *have = variant_of(offered);
	uint32_t most, level;

	if (strcmp(wanted->os, offered->os) != 0 || strcmp(wanted->architecture, offered->architecture) != 0)
		return 0;
	if (strcmp(want, have) == 0)
		return 100;
	if (*want != 'v' || *have != 'v' || text_to_u32(&most, want + 1, 10) < 0 ||
	    text_to_u32(&level, have + 1, 10) < 0 || level > most || most > 99)
		return 0;
	return 100 - (most - level);
}
