/*
 * glibc has a folder for each locale, or all of them in one archive: a header of little-endian words, and a hash table
 * of normalised names with double hashing. Other C libraries are always in UTF-8, and take any name for their
 * messages'.
 */
#include "guest/locale.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FOLDER "/usr/lib/locale"

enum {
	ARCHIVE_HEADER = 56,
	ARCHIVE_ENTRY = 12,
	ARCHIVE_PROBES = 1024, /* a table of glibc's is never so full */
};
#define ARCHIVE_MAGIC 0xde020109u

static const char *const loaders[] = {
	"/lib64/ld-linux-x86-64.so.2",  "/lib/ld-linux-x86-64.so.2",       "/lib/ld-linux-aarch64.so.1",
	"/lib64/ld-linux-aarch64.so.1", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6",
};

bool locale_is_name(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > LOCALE_NAME_MAX || !isalpha((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("_.@+-", text[i]))
			return false;
	}
	return true;
}

void locale_normalise(char ret[LOCALE_NAME_MAX + 4], const char *name)
{
	size_t head = strcspn(name, ".@"), end = head + strcspn(name + head, "@"), count = head;
	bool digits = true;

	memcpy(ret, name, head);
	if (name[head] == '.') {
		ret[count++] = '.';
		for (size_t i = head + 1; i < end; i++)
			digits &= !isalpha((unsigned char)name[i]);
		if (digits) {
			strcpy(ret + count, "iso");
			count += 3;
		}
		for (size_t i = head + 1; i < end; i++) {
			if (isalnum((unsigned char)name[i]))
				ret[count++] = (char)tolower((unsigned char)name[i]);
		}
	}
	strcpy(ret + count, name + end);
}

static bool exists(const char *root, const char *folder, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s%s%s", root, folder, *folder ? "/" : "", name);
	return access(path, F_OK) == 0;
}

static uint32_t word(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t hash(const char *name)
{
	uint32_t value = (uint32_t)strlen(name);

	for (; *name; name++)
		value = (value << 9 | value >> 23) + (unsigned char)*name;
	return value ? value : UINT32_MAX;
}

static bool is_text_at(int fd, uint32_t offset, const char *text)
{
	char found[LOCALE_NAME_MAX + 4];
	size_t size = strlen(text) + 1;

	return pread(fd, found, size, offset) == (ssize_t)size && memcmp(found, text, size) == 0;
}

static bool is_in_archive(const char *root, const char *name)
{
	uint8_t header[ARCHIVE_HEADER], entry[ARCHIVE_ENTRY];
	uint32_t wanted = hash(name), size, at, step;
	char path[PATH_MAX];
	auto_close int fd = -1;

	snprintf(path, sizeof(path), "%s" FOLDER "/locale-archive", root);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || pread(fd, header, sizeof(header), 0) != sizeof(header) || word(header) != ARCHIVE_MAGIC)
		return false;
	size = word(header + 16);
	if (size < 3)
		return false;
	at = wanted % size;
	step = 1 + wanted % (size - 2);
	for (unsigned i = 0; i < ARCHIVE_PROBES; i++) {
		off_t place = (off_t)word(header + 8) + (off_t)at * ARCHIVE_ENTRY;

		if (pread(fd, entry, sizeof(entry), place) != sizeof(entry) || word(entry + 4) == 0)
			return false;
		if (word(entry) == wanted && is_text_at(fd, word(entry + 4), name))
			return true;
		at = (uint32_t)(((uint64_t)at + step) % size);
	}
	return false;
}

static bool has_glibc(const char *root)
{
	for (size_t i = 0; i < COUNT_OF(loaders); i++) {
		if (exists(root, "", loaders[i]))
			return true;
	}
	return exists(root, "", FOLDER);
}

bool locale_is_there(const char *root, const char *name)
{
	char normal[LOCALE_NAME_MAX + 4];

	if (strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0)
		return true;
	if (!locale_is_name(name))
		return false;
	locale_normalise(normal, name);
	return exists(root, FOLDER, normal) || exists(root, FOLDER, name) || is_in_archive(root, normal) ||
	       !has_glibc(root);
}

const char *locale_default(const char *root)
{
	/* glibc has it built in since 2.35; the distributions of older ones without it keep an archive there. */
	return locale_is_there(root, "C.UTF-8") || !exists(root, "", FOLDER) ? "C.UTF-8" : "C";
}
