/*
 * What the host's side answers are names as the host has them, so one server is all there is to say. No options are
 * set: whether what the host's resolvers say can be trusted (trust-ad), or how large it may be (edns0), isn't known
 * here.
 *
 * In images /etc/resolv.conf often leads to what systemd-resolved or resolvconf write below /run, which is empty now.
 * It is written there: a program that keeps it starts later and replaces it, and is told of the server in its own way
 * (dropin.c); without one the machine has names all the same.
 */
#include "guest/resolver.h"

#include "base/file.h"
#include "guest/etcfile.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static bool is_name(const char *domain)
{
	for (const char *at = domain; *at; at++) {
		if (*at <= ' ' || *at > '~')
			return false;
	}
	return *domain && strcmp(domain, ".") != 0;
}

static void add_domain(struct text *out, size_t begin, const char *domain)
{
	if (!is_name(domain) || out->size - begin + 1 + strlen(domain) > RESOLVER_SEARCH_MAX)
		return;
	if (out->size > begin)
		text_add_char(out, ' ');
	text_add(out, domain);
}

void resolver_search(struct text *out, const struct resolver *resolver)
{
	size_t begin = out->size;

	add_domain(out, begin, resolver->domain);
	for (const char *const *each = resolver->search; each && *each; each++) {
		if (!text_equal(*each, resolver->domain))
			add_domain(out, begin, *each);
	}
}

void resolver_make(struct text *out, const struct resolver *resolver)
{
	auto_text struct text search = {0};
	const char *at = resolver->dns;

	text_add(out, ETCFILE_OURS);
	while (*at) {
		size_t length = strcspn(at, ", ");

		if (length > 0)
			text_printf(out, "nameserver %.*s\n", (int)length, at);
		at += length + (at[length] != '\0');
	}
	resolver_search(&search, resolver);
	out->broken |= search.broken;
	if (search.size > 0 && !search.broken)
		text_printf(out, "search %s\n", search.data);
}

bool resolver_is_link(void)
{
	struct stat st;

	return lstat(RESOLVER_FILE, &st) == 0 && S_ISLNK(st.st_mode);
}

int resolver_write(const struct resolver *resolver, struct annex_error **err)
{
	auto_text struct text made = {0};
	auto_free char *now = NULL;
	int result;

	if (!*resolver->dns)
		return 0;
	result = file_read_regular(&now, NULL, AT_FDCWD, RESOLVER_FILE, RESOLVER_FILE_MAX);
	if (result == -EINVAL)
		return fail(err, ANNEX_ERROR_GUEST, RESOLVER_FILE " of the image is not a file");
	if (result < 0 && result != -ENOENT && result != -ELOOP)
		return fail_os(err, result, "cannot read " RESOLVER_FILE);
	if (now && now[strspn(now, " \t\r\n")] && !text_starts(now, ETCFILE_OURS))
		return 0;
	resolver_make(&made, resolver);
	if (!text_ok(&made))
		return fail_memory(err);
	return text_equal(now, made.data) ? 0 : etcfile_write(RESOLVER_FILE, &made, 0644, err);
}
