/*
 * The distributions' tools would do all this, but take seconds under emulation, and not every image has one. So what
 * they would make is changed here: their files of all certificates get a block between two marks, and their folders of
 * links, by which OpenSSL finds a certificate, get such links; the host has computed the names of these.
 *
 * When a tool runs later, it puts the certificates of the folder into the file itself, and drops the block. What stands
 * in such a file outside of the block is then ours, too, if it is in STATE, which has what was brought at the last
 * start. What stands there and isn't in STATE is the image's own: it is neither brought nor taken away.
 */
#include "guest/trust.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "guest/etcfile.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BEGIN       "-----BEGIN CERTIFICATE-----\n"
#define END         "-----END CERTIFICATE-----\n"
#define BLOCK_BEGIN "# By annex, at each start: certificates that the host trusts.\n"
#define BLOCK_END   "# End of what annex wrote.\n"
#define PREFIX      "annex-"

enum { HASH_LENGTH = 8, NAME_LENGTH = sizeof(PREFIX) - 1 + 16, LINKS_MAX = 32, RELEASE_MAX = 1 << 16 };

struct certificate {
	char head[96]; /* "# HASH NAME\n" */
	char hash[HASH_LENGTH + 1];
	char name[NAME_LENGTH + 1]; /* of its file, without what is behind the dot */
	const char *pem;
	size_t size;
};

struct set {
	size_t count;
	struct certificate items[TRUST_MAX];
};

static const struct source {
	const char *folder, *suffix;
	const char *distributions; /* as os-release has them: for images that don't have the folder yet */
} sources[] = {
	{"/usr/local/share/ca-certificates", ".crt", " debian ubuntu alpine "},
	{"/etc/pki/ca-trust/source/anchors", ".pem", " fedora rhel centos "},
	{"/etc/pki/trust/anchors", ".pem", " suse opensuse "},
	{"/etc/ca-certificates/trust-source/anchors", ".crt", " arch "},
};

/* What programs read; several of them are links to another. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/tls/cert.pem",
	"/var/lib/ca-certificates/ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ca-certificates/extracted/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static const char *const link_folders[] = {"/etc/ssl/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash"};

/* Sets. */

static void name_certificate(struct certificate *certificate)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a: a name that stays, no secret */

	for (size_t i = 0; i < certificate->size; i++)
		hash = (hash ^ (unsigned char)certificate->pem[i]) * 1099511628211u;
	snprintf(certificate->name, sizeof(certificate->name), PREFIX "%016llx", (unsigned long long)hash);
}

/* As machine/trust.h says: "# HASH NAME" before each. What isn't so is left out. */
static void parse(struct set *ret, const char *text, size_t size)
{
	const char *at = text, *end = text + size;

	ret->count = 0;
	while (ret->count < TRUST_MAX && (at = memmem(at, (size_t)(end - at), "# ", 2))) {
		struct certificate made = {0};
		const char *line = memchr(at, '\n', (size_t)(end - at)), *last;
		size_t left = line ? (size_t)(end - line - 1) : 0, head = line ? (size_t)(line + 1 - at) : 0;

		at += 2;
		if (left < strlen(BEGIN) || memcmp(line + 1, BEGIN, strlen(BEGIN)) != 0 || head >= sizeof(made.head) ||
		    strspn(at, "0123456789abcdef") != HASH_LENGTH)
			continue;
		last = memmem(line + 1, left, END, strlen(END));
		if (!last)
			return;
		memcpy(made.head, at - 2, head);
		memcpy(made.hash, at, HASH_LENGTH);
		made.pem = line + 1;
		made.size = (size_t)(last + strlen(END) - made.pem);
		name_certificate(&made);
		at = last + strlen(END);
		ret->items[ret->count++] = made;
	}
}

static bool has(const struct set *set, const struct certificate *certificate)
{
	for (size_t i = 0; i < set->count; i++) {
		if (strcmp(set->items[i].name, certificate->name) == 0)
			return true;
	}
	return false;
}

static bool has_name(const struct set *set, const char *name, size_t length)
{
	for (size_t i = 0; i < set->count; i++) {
		if (length == NAME_LENGTH && memcmp(set->items[i].name, name, length) == 0)
			return true;
	}
	return false;
}

static void set_text(struct text *out, const struct set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		text_add(out, set->items[i].head);
		text_add_bytes(out, set->items[i].pem, set->items[i].size);
	}
}

/* Bundles. */

static char *find(const struct text *text, const struct certificate *certificate)
{
	return text->size ? memmem(text->data, text->size, certificate->pem, certificate->size) : NULL;
}

static void cut(struct text *text, const char *from, size_t size)
{
	size_t at = (size_t)(from - text->data);

	memmove(text->data + at, text->data + at + size, text->size - at - size + 1);
	text->size -= size;
}

static void cut_block(struct text *text)
{
	char *begin, *end;

	while (text->size && (begin = strstr(text->data, BLOCK_BEGIN))) {
		end = strstr(begin, BLOCK_END);
		cut(text, begin, end ? (size_t)(end - begin) + strlen(BLOCK_END) : strlen(begin));
	}
}

static void cut_gone(struct text *text, const struct set *old, const struct set *now)
{
	for (size_t i = 0; i < old->count; i++) {
		const struct certificate *each = &old->items[i];
		char *found;

		while (!has(now, each) && (found = find(text, each)))
			cut(text, found, each->size);
	}
}

static void add_block(struct text *text, const struct set *now)
{
	auto_text struct text block = {0};

	for (size_t i = 0; i < now->count; i++) {
		if (find(text, &now->items[i]))
			continue;
		text_add(&block, now->items[i].head);
		text_add_bytes(&block, now->items[i].pem, now->items[i].size);
	}
	text->broken |= block.broken;
	if (block.size == 0)
		return;
	if (text->size > 0 && text->data[text->size - 1] != '\n')
		text_add_char(text, '\n');
	text_add(text, BLOCK_BEGIN);
	text_add_bytes(text, block.data, block.size);
	text_add(text, BLOCK_END);
}

/* The same file by another name? */
struct seen {
	size_t count;
	struct stat items[COUNT_OF(bundles)];
};

static bool is_seen(const struct seen *seen, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return true;
	for (size_t i = 0; i < seen->count; i++) {
		if (seen->items[i].st_dev == st.st_dev && seen->items[i].st_ino == st.st_ino)
			return true;
	}
	return false;
}

static int update_bundle(const char *path, const struct set *old, const struct set *now, struct annex_error **err)
{
	auto_text struct text text = {0};
	auto_free char *before = NULL;
	size_t size;

	if (etcfile_read(&text, NULL, path, TRUST_BUNDLE_MAX, err) < 0)
		return -1;
	if (!text.data || memchr(text.data, '\0', text.size))
		return 0; /* empty, or of some other kind */
	before = strdup(text.data);
	size = text.size;
	if (!before)
		return fail_memory(err);
	cut_block(&text);
	cut_gone(&text, old, now);
	add_block(&text, now);
	if (!text_ok(&text))
		return fail_memory(err);
	if (text.size == size && memcmp(text.data, before, size) == 0)
		return 0;
	return etcfile_write(path, &text, 0644, err);
}

/* What the image trusts itself needs nothing. */
static int drop_known(struct set *now, const struct set *old, struct annex_error **err)
{
	for (size_t k = 0; k < COUNT_OF(bundles); k++) {
		auto_text struct text text = {0};
		struct stat st;
		size_t kept = 0;

		if (stat(bundles[k], &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (etcfile_read(&text, NULL, bundles[k], TRUST_BUNDLE_MAX, err) < 0)
			return -1;
		if (!text.data || memchr(text.data, '\0', text.size))
			continue;
		cut_block(&text);
		for (size_t i = 0; i < now->count; i++) {
			if (has(old, &now->items[i]) || !find(&text, &now->items[i]))
				now->items[kept++] = now->items[i];
		}
		now->count = kept;
		return 0;
	}
	return 0;
}

/* Folders. */

static const struct source *find_source(void)
{
	auto_free char *release = NULL;
	struct stat st;
	char *at, *line;

	for (size_t i = 0; i < COUNT_OF(sources); i++) {
		if (stat(sources[i].folder, &st) == 0 && S_ISDIR(st.st_mode))
			return &sources[i];
	}
	if (file_read_regular(&release, NULL, AT_FDCWD, "/etc/os-release", RELEASE_MAX) < 0)
		return NULL;
	at = release;
	while ((line = strsep(&at, "\n"))) {
		char *words, *word;

		if (!text_starts(line, "ID=") && !text_starts(line, "ID_LIKE="))
			continue;
		words = strchr(line, '=') + 1;
		while ((word = strsep(&words, " \"'"))) {
			char padded[64];

			snprintf(padded, sizeof(padded), " %s ", word);
			for (size_t i = 0; *word && i < COUNT_OF(sources); i++) {
				if (strstr(sources[i].distributions, padded))
					return &sources[i];
			}
		}
	}
	return NULL;
}

static bool is_our_name(const char *name, const char *suffix)
{
	return strlen(name) == NAME_LENGTH + strlen(suffix) && text_starts(name, PREFIX) && text_ends(name, suffix) &&
	       strspn(name + strlen(PREFIX), "0123456789abcdef") == NAME_LENGTH - strlen(PREFIX);
}

static void remove_gone_files(const struct source *source, const struct set *now)
{
	DIR *folder = opendir(source->folder);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		if (is_our_name(entry->d_name, source->suffix) && !has_name(now, entry->d_name, NAME_LENGTH) &&
		    unlinkat(dirfd(folder), entry->d_name, 0) < 0)
			log_info("cannot remove %s/%s: %s", source->folder, entry->d_name, strerror(errno));
	}
	if (folder)
		closedir(folder);
}

static int write_files(const struct source *source, const struct set *now, struct annex_error **err)
{
	int result = now->count > 0 ? etcfile_make_folders(source->folder, 0755) : 0;

	for (size_t i = 0; i < now->count && result == 0; i++) {
		const struct certificate *each = &now->items[i];
		auto_free char *there = NULL;
		char path[PATH_MAX];
		size_t size = 0;

		snprintf(path, sizeof(path), "%s/%s%s", source->folder, each->name, source->suffix);
		if (file_read_regular(&there, &size, AT_FDCWD, path, TRUST_BUNDLE_MAX) == 0 && size == each->size &&
		    memcmp(there, each->pem, size) == 0)
			continue;
		result = file_write_atomic(AT_FDCWD, path, each->pem, each->size, 0644);
	}
	return result < 0 ? fail_os(err, result, "cannot write certificates to %s", source->folder) : 0;
}

/* Links: "HASH.N", or, as Debian's tool makes it, a name whose certificate another link of the folder leads to. */

/* The part of what a link leads to that a certificate is named by; NULL: it is no link. */
static const char *link_name(char target[PATH_MAX], size_t *ret_length, int folder, const char *link)
{
	ssize_t n = readlinkat(folder, link, target, PATH_MAX - 1);

	if (n < 0)
		return NULL;
	target[n] = '\0';
	*ret_length = strcspn(path_name(target), ".");
	return path_name(target);
}

static void remove_gone_links(int folder, const struct set *old, const struct set *now)
{
	int own = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = own < 0 ? NULL : fdopendir(own);
	struct dirent *entry;
	char target[PATH_MAX];
	size_t length;

	while (entries && (entry = readdir(entries))) {
		const char *name = link_name(target, &length, folder, entry->d_name);

		if (name && has_name(old, name, length) && !has_name(now, name, length) &&
		    unlinkat(folder, entry->d_name, 0) < 0)
			log_info("cannot remove a link to %s: %s", target, strerror(errno));
	}
	if (entries)
		closedir(entries);
}

static int add_link(int folder, const struct source *source, const struct certificate *certificate)
{
	char link[HASH_LENGTH + 16], path[PATH_MAX], target[PATH_MAX];
	size_t length;

	snprintf(path, sizeof(path), "%s/%s%s", source->folder, certificate->name, source->suffix);
	for (unsigned i = 0; i < LINKS_MAX; i++) {
		const char *name;

		snprintf(link, sizeof(link), "%s.%u", certificate->hash, i);
		name = link_name(target, &length, folder, link);
		if (name && length == NAME_LENGTH && memcmp(name, certificate->name, length) == 0)
			return 0;
		if (!name && symlinkat(path, folder, link) == 0)
			return 0;
		if (!name && errno != EEXIST)
			return -errno;
	}
	return -ENOSPC;
}

static bool is_smaller(const struct set *now, const struct set *old)
{
	for (size_t i = 0; i < old->count; i++) {
		if (!has(now, &old->items[i]))
			return true;
	}
	return false;
}

static int update_links(const char *path, const struct source *source, const struct set *old, const struct set *now,
			struct annex_error **err)
{
	auto_close int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = 0;

	if (folder < 0)
		return 0;
	if (is_smaller(now, old))
		remove_gone_links(folder, old, now);
	for (size_t i = 0; i < now->count && result == 0; i++)
		result = add_link(folder, source, &now->items[i]);
	return result < 0 ? fail_os(err, result, "cannot make links in %s", path) : 0;
}

/* All of it. */

static void tell(struct annex_error **last, struct annex_error *err)
{
	if (*last)
		log_info("%s", annex_error_message(*last));
	annex_error_free(*last);
	*last = err;
}

static int update(const struct set *old, const struct set *now, struct annex_error **err)
{
	const struct source *source = find_source();
	struct seen seen = {0};
	struct annex_error *cause = NULL, *last = NULL;

	if (source) {
		remove_gone_files(source, now);
		if (write_files(source, now, &cause) < 0)
			tell(&last, TAKE(cause));
	}
	for (size_t i = 0; i < COUNT_OF(bundles); i++) {
		if (is_seen(&seen, bundles[i]))
			continue;
		if (update_bundle(bundles[i], old, now, &cause) < 0)
			tell(&last, TAKE(cause));
		if (stat(bundles[i], &seen.items[seen.count]) == 0)
			seen.count++;
	}
	for (size_t i = 0; source && i < COUNT_OF(link_folders); i++) {
		if (update_links(link_folders[i], source, old, now, &cause) < 0)
			tell(&last, TAKE(cause));
	}
	if (!last)
		return 0;
	*err = last;
	return -1;
}

int trust_set(const struct message_bytes *certificates, struct annex_error **err)
{
	auto_free struct set *old = calloc(1, sizeof(*old));
	auto_free struct set *now = calloc(1, sizeof(*now));
	auto_text struct text state = {0}, made = {0};

	if (!old || !now)
		return fail_memory(err);
	if (etcfile_read(&state, NULL, TRUST_STATE, TRUST_BUNDLE_MAX, err) < 0)
		return -1;
	parse(old, state.data ? state.data : "", state.size);
	parse(now, certificates->bytes ? certificates->bytes : "", certificates->size);
	if (old->count == 0 && now->count == 0)
		return 0;
	if (drop_known(now, old, err) < 0 || update(old, now, err) < 0)
		return -1;
	set_text(&made, now);
	if (!text_ok(&made))
		return fail_memory(err);
	if (text_equal(made.data ? made.data : "", state.data ? state.data : ""))
		return 0;
	return etcfile_write(TRUST_STATE, &made, 0644, err);
}
