/* /etc/hosts, as anybody may have written it: what is put in comes out again, and all else stays. */
#include "machine/hosts.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void edit(struct text *ret, const char *file, size_t size, const struct machine_hosts *hosts)
{
	machine_hosts_edit(ret, file, size, "alice", hosts);
	require(text_ok(ret));
}

static bool is_same(const struct text *a, const struct text *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_text struct text without = {0}, with = {0}, again = {0}, after = {0};
	const char *file = (const char *)data;
	bool ends_a_line;

	require(machine_hosts_add(&hosts, "dev", 0x0307, true) == 0);
	machine_hosts_yield(&hosts, file, size, "alice");
	edit(&without, file, size, NULL);
	edit(&with, file, size, &hosts);
	require(machine_hosts_kept(with.data, with.size, "alice", "/data") != MACHINE_HOSTS_NOT_KEPT);
	edit(&again, with.data, with.size, &hosts);
	require(is_same(&with, &again));
	edit(&after, with.data, with.size, NULL);
	/* A last line without an end gets one. */
	ends_a_line = without.size == 0 || without.data[without.size - 1] == '\n';
	if (!ends_a_line && after.size == without.size + 1)
		text_add_char(&without, '\n');
	require(is_same(&without, &after));
	return 0;
}
