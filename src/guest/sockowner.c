/*
 * The newest processes come first: a new socket is mostly of one of those, and the search ends when all are found. A
 * socket that a process has inherited is its parent's as well: who made it, and will be there longer, is the oldest
 * that has it, but for the machine's init, which opens sockets for services.
 */
#include "guest/sockowner.h"

#include "base/file.h"
#include "base/time.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { STATUS_MAX = 8 << 10, COMM_MAX = 64, ANCESTORS_MAX = 8, PIDS_MAX = 1 << 20 };

struct found {
	uint32_t inode;
	uint32_t pid, owner; /* as the machine and as the agent counts */
	char name[SOCKTABLE_NAME];
	bool is_found;
};

struct sockowner {
	struct found *wanted; /* by inode */
	size_t count, left;
	uint32_t *pids; /* oldest first */
	size_t pids_left, pids_capacity;
};

static int compare_inode(const void *left, const void *right)
{
	const struct found *a = left, *b = right;

	return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static struct found *find(const struct sockowner *search, uint32_t inode)
{
	struct found key = {.inode = inode};

	return bsearch(&key, search->wanted, search->count, sizeof(key), compare_inode);
}

static bool add_pid(struct sockowner *search, uint32_t pid)
{
	size_t capacity = search->pids_capacity ? search->pids_capacity * 2 : 256;
	uint32_t *grown;

	if (search->pids_left == search->pids_capacity) {
		grown = search->pids_left < PIDS_MAX ? realloc(search->pids, capacity * sizeof(*grown)) : NULL;
		if (!grown)
			return false;
		search->pids = grown;
		search->pids_capacity = capacity;
	}
	search->pids[search->pids_left++] = pid;
	return true;
}

static void list_pids(struct sockowner *search)
{
	DIR *folder = opendir("/proc");
	struct dirent *entry;
	uint32_t pid;

	while (folder && (entry = readdir(folder))) {
		if (text_to_u32(&pid, entry->d_name, 10) == 0 && pid > 1 && !add_pid(search, pid))
			break;
	}
	if (folder)
		closedir(folder);
}

struct sockowner *sockowner_new(const struct socktable *table)
{
	struct sockowner *search = calloc(1, sizeof(*search));

	if (!search)
		return NULL;
	search->wanted = calloc(table->count + 1, sizeof(search->wanted[0]));
	for (size_t i = 0; search->wanted && i < table->count; i++) {
		if (!table->socks[i].searched)
			search->wanted[search->count++].inode = table->socks[i].inode;
	}
	if (search->count == 0) {
		sockowner_free(search);
		return NULL;
	}
	qsort(search->wanted, search->count, sizeof(search->wanted[0]), compare_inode);
	search->left = search->count;
	list_pids(search);
	return search;
}

void sockowner_free(struct sockowner *search)
{
	if (!search)
		return;
	free(search->wanted);
	free(search->pids);
	free(search);
}

static bool read_text(char *buffer, size_t size, uint32_t pid, const char *name)
{
	auto_close int fd = -EBADF;
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : file_read_full(fd, buffer, size - 1);
	buffer[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* A number behind the last of the words that a line of `status` begins by. */
static uint32_t status_number(const char *status, const char *name, unsigned place)
{
	const char *line = strstr(status, name);
	char digits[16] = {0};
	uint32_t number = 0;
	size_t length;

	if (!line)
		return 0;
	line += strlen(name);
	for (unsigned i = 0;; i++) {
		line += strspn(line, " \t");
		length = strcspn(line, " \t\n");
		if (length == 0 || length >= sizeof(digits))
			return 0;
		if (i == place)
			break;
		line += length;
	}
	memcpy(digits, line, length);
	return text_to_u32(&number, digits, 10) == 0 ? number : 0;
}

/* Does it have that socket? */
typedef bool visit_fn(uint32_t inode, void *data);

static bool visit(uint32_t pid, visit_fn *fn, void *data)
{
	char path[64], target[64], *end;
	struct dirent *entry;
	bool stopped = false;
	uint32_t inode;
	ssize_t n;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	folder = opendir(path);
	while (folder && !stopped && (entry = readdir(folder))) {
		n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		end = strchr(target, ']');
		if (!text_starts(target, "socket:[") || !end)
			continue;
		*end = '\0';
		stopped = text_to_u32(&inode, target + strlen("socket:["), 10) == 0 && fn(inode, data);
	}
	if (folder)
		closedir(folder);
	return stopped;
}

static bool is_inode(uint32_t inode, void *data)
{
	return inode == *(const uint32_t *)data;
}

/* Who had it first, of those that descend from each other. */
static uint32_t oldest_with(uint32_t pid, uint32_t inode)
{
	char status[STATUS_MAX];
	uint32_t parent;

	for (int i = 0; i < ANCESTORS_MAX; i++) {
		parent = read_text(status, sizeof(status), pid, "status") ? status_number(status, "\nPPid:", 0) : 0;
		if (parent <= 1 || !read_text(status, sizeof(status), parent, "status") ||
		    status_number(status, "\nNSpid:", 1) == 1 || !visit(parent, is_inode, &inode))
			break;
		pid = parent;
	}
	return pid;
}

static void name_owner(struct found *found, uint32_t pid)
{
	char status[STATUS_MAX], name[COMM_MAX];
	uint32_t owner = oldest_with(pid, found->inode), inside;

	if (!read_text(status, sizeof(status), owner, "status"))
		return;
	inside = status_number(status, "\nNSpid:", 1);
	found->owner = owner;
	found->pid = inside ? inside : owner;
	read_text(name, sizeof(name), owner, "comm");
	name[strcspn(name, "\n")] = '\0';
	for (char *at = name; *at; at++) {
		if (*at < ' ' || *at > '~')
			*at = '?';
	}
	snprintf(found->name, sizeof(found->name), "%.*s", (int)sizeof(found->name) - 1, name);
}

struct visitor {
	struct sockowner *search;
	uint32_t pid;
};

static bool look_for(uint32_t inode, void *data)
{
	const struct visitor *visitor = data;
	struct found *found = find(visitor->search, inode);

	if (!found || found->is_found)
		return false;
	found->is_found = true;
	name_owner(found, visitor->pid);
	return --visitor->search->left == 0;
}

bool sockowner_step(struct sockowner *search, uint64_t until_ms)
{
	struct visitor visitor = {.search = search};

	while (search->left > 0 && search->pids_left > 0) {
		visitor.pid = search->pids[--search->pids_left];
		visit(visitor.pid, look_for, &visitor);
		if (time_monotonic_ms() >= until_ms)
			break;
	}
	return search->left == 0 || search->pids_left == 0;
}

void sockowner_tell(const struct sockowner *search, struct socktable *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct sock *sock = &table->socks[i];
		const struct found *found = sock->searched ? NULL : find(search, sock->inode);

		if (!found)
			continue;
		sock->searched = true;
		sock->pid = found->pid;
		sock->owner = found->owner;
		memcpy(sock->name, found->name, sizeof(sock->name));
	}
}
