/*
 * A look reads three small files of the kernel that tell whether anything may have changed: how many sockets there are,
 * and which process was the last to start. Only if the sockets' numbers differ, or after a while in any case, it asks
 * for the sockets that listen, and only for those that are new for their owners, whose search may take several turns of
 * the loop. Time between looks doubles while nothing changes, and is never less than some times what the last one took:
 * so what looking costs is bounded whatever goes on.
 *
 * The kernel is asked by NETLINK_SOCK_DIAG, which leaves connections out; where it has no such module, by the tables in
 * /proc/net, of which those that listen come first.
 */
#include "guest/listening.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/sockowner.h"
#include "guest/socktable.h"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	QUICK_MS = 100,
	SLOW_MS = 2000,
	ANYWAY_MS = 15000,
	COST_FACTOR = 100, /* times what a look takes pass until the next */
	OWNERS_MS = 5,     /* of searching in a turn */
	SIGNS_MAX = 1024,
	TABLE_MAX = 8 << 20,
	REPLY_MAX = 32 << 10,
};

static const char *const sign_files[] = {"/proc/net/sockstat", "/proc/net/sockstat6", "/proc/loadavg"};
enum { SIGN_LAST_PID = 2 };

static const struct kind {
	uint8_t protocol, family;
	const char *path;
} kinds[] = {
	{IPPROTO_TCP, AF_INET, "/proc/net/tcp"},
	{IPPROTO_TCP, AF_INET6, "/proc/net/tcp6"},
	{IPPROTO_UDP, AF_INET, "/proc/net/udp"},
	{IPPROTO_UDP, AF_INET6, "/proc/net/udp6"},
};

struct listening {
	struct loop *loop;
	struct loop_source *timer;
	listening_fn *fn;
	void *data;
	bool running;
	bool asked; /* look in any case */
	bool tell;  /* what that finds, in any case */
	int signs[COUNT_OF(sign_files)];
	uint64_t seen[COUNT_OF(sign_files)]; /* hashes of what they said last */
	int diag;                            /* -1: the kernel has no such module */
	uint64_t interval_ms, looked_ms;     /* the last whole look */
	struct socktable table;
	struct socktable_range clients;
	struct sockowner *owners; /* while they are searched for */
	struct text_list told;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t hash(const char *bytes, size_t size)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * 1099511628211u;
	return hash;
}

/* Bit i: that file says something else than it did. */
static unsigned read_signs(struct listening *listening)
{
	char text[SIGNS_MAX];
	unsigned changed = 0;

	for (size_t i = 0; i < COUNT_OF(sign_files); i++) {
		ssize_t n = listening->signs[i] < 0 ? 0 : pread(listening->signs[i], text, sizeof(text), 0);
		const char *from = text;
		uint64_t value;

		if (n <= 0)
			continue;
		if (i == SIGN_LAST_PID) { /* what comes before changes by itself */
			const char *space = memrchr(text, ' ', (size_t)n);

			from = space ? space : text;
		}
		value = hash(from, (size_t)(text + n - from));
		if (value != listening->seen[i])
			changed |= 1u << i;
		listening->seen[i] = value;
	}
	return changed;
}

static int ask(int fd, const struct kind *kind)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 body;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = kind->family,
			 .sdiag_protocol = kind->protocol,
			 .idiag_states = 1u << (kind->protocol == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE)},
	};

	return send(fd, &request, sizeof(request), MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* 1: there is more; 0: that was all; -errno. */
static int take_reply(struct socktable *table, const struct kind *kind, const char *at, size_t size)
{
	int result = 0;

	while (size >= sizeof(struct nlmsghdr) && result == 0) {
		const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)at;
		size_t length = header->nlmsg_len;

		if (length < sizeof(*header) || length > size)
			return -EPROTO;
		if (header->nlmsg_type == NLMSG_DONE)
			return 0;
		if (header->nlmsg_type == NLMSG_ERROR)
			return -ENOENT;
		if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY)
			result = socktable_add_diag(table, kind->protocol, at + NLMSG_HDRLEN, length - NLMSG_HDRLEN);
		length = NLMSG_ALIGN(length);
		at += length < size ? length : size;
		size -= length < size ? length : size;
	}
	return result < 0 ? result : 1;
}

static int ask_kernel(int fd, struct socktable *table)
{
	union {
		struct nlmsghdr header;
		char bytes[REPLY_MAX];
	} reply;
	int result = 0;

	for (size_t i = 0; i < COUNT_OF(kinds) && result == 0; i++) {
		result = ask(fd, &kinds[i]);
		if (result == 0)
			result = 1;
		while (result == 1) {
			ssize_t n = recv(fd, &reply, sizeof(reply), MSG_DONTWAIT);

			result = n < 0 ? -errno : take_reply(table, &kinds[i], reply.bytes, (size_t)n);
		}
	}
	return result;
}

static int read_tables(struct socktable *table)
{
	int result = 0;

	for (size_t i = 0; i < COUNT_OF(kinds) && result == 0; i++) {
		auto_free char *lines = NULL;

		/* Without IPv6 there are two of them only. */
		if (file_read(&lines, NULL, AT_FDCWD, kinds[i].path, TABLE_MAX) == 0)
			result = socktable_add_lines(table, kinds[i].protocol, kinds[i].family, lines);
	}
	return result;
}

static int read_sockets(struct listening *listening, struct socktable *table)
{
	int result = -ENOENT;

	if (listening->diag >= 0)
		result = ask_kernel(listening->diag, table);
	if (result == 0)
		return 0;
	if (listening->diag >= 0)
		log_debug("sockets are looked up in /proc/net: %s", strerror(-result));
	cleanup_close(&listening->diag);
	listening->diag = -1;
	socktable_clear(table);
	return read_tables(table);
}

static void read_range(struct socktable_range *range)
{
	auto_free char *text = NULL;
	char *at;
	uint32_t first = 0, last = 0;

	*range = (struct socktable_range){32768, 60999};
	if (file_read(&text, NULL, AT_FDCWD, "/proc/sys/net/ipv4/ip_local_port_range", SIGNS_MAX) < 0)
		return;
	at = text;
	if (text_to_u32(&first, strsep(&at, "\t "), 10) < 0 || !at)
		return;
	at[strcspn(at, "\n")] = '\0';
	if (text_to_u32(&last, at, 10) == 0 && first <= UINT16_MAX && last <= UINT16_MAX)
		*range = (struct socktable_range){(uint16_t)first, (uint16_t)last};
}

/* Programs that go to the background bind first, and leave the socket to a child. */
static void forget_dead_owners(struct socktable *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct sock *sock = &table->socks[i];

		if (sock->owner && kill((pid_t)sock->owner, 0) < 0 && errno == ESRCH)
			sock->searched = false;
	}
}

static bool is_same(const struct text_list *a, const struct text_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

static void tell(struct listening *listening)
{
	static const char *const none[] = {NULL};
	auto_text_list struct text_list texts = {0};

	if (socktable_texts(&texts, &listening->table, time_monotonic_ms(), &listening->clients) < 0) {
		log_info("what listens cannot be told: no memory");
		return;
	}
	if (!listening->tell && is_same(&texts, &listening->told))
		return;
	listening->tell = false;
	text_list_clear(&listening->told);
	listening->told = texts;
	texts = (struct text_list){0};
	listening->fn(listening->told.items ? (const char *const *)listening->told.items : none, listening->data);
}

static void look_for_owners(struct listening *listening)
{
	if (!listening->owners)
		listening->owners = sockowner_new(&listening->table);
	if (listening->owners) {
		if (!sockowner_step(listening->owners, time_monotonic_ms() + OWNERS_MS)) {
			loop_timer_restart(listening->timer, 0);
			return;
		}
		sockowner_tell(listening->owners, &listening->table);
		sockowner_free(listening->owners);
		listening->owners = NULL;
	}
	tell(listening);
}

static void look(struct listening *listening)
{
	struct socktable table = {0};
	uint64_t now = time_monotonic_ms();
	int result = read_sockets(listening, &table);

	listening->looked_ms = now;
	listening->asked = false;
	if (result < 0) {
		socktable_clear(&table);
		return;
	}
	read_range(&listening->clients);
	socktable_inherit(&table, &listening->table, now);
	forget_dead_owners(&table);
	socktable_clear(&listening->table);
	listening->table = table;
	sockowner_free(listening->owners);
	listening->owners = NULL;
	look_for_owners(listening);
}

static void wait_for_next(struct listening *listening, uint64_t took_us, bool quiet)
{
	uint64_t least = took_us * COST_FACTOR / 1000, due, now = time_monotonic_ms();

	listening->interval_ms = quiet ? listening->interval_ms * 2 : QUICK_MS;
	if (listening->interval_ms < least)
		listening->interval_ms = least;
	if (listening->interval_ms > SLOW_MS)
		listening->interval_ms = SLOW_MS;
	due = socktable_due(&listening->table, now, &listening->clients);
	loop_timer_restart(listening->timer, due < listening->interval_ms ? due + 1 : listening->interval_ms);
}

static void on_timer(struct loop_source *source, void *data)
{
	struct listening *listening = data;
	uint64_t begun = now_us(), now = time_monotonic_ms();
	unsigned changed;

	(void)source;
	if (!listening->running)
		return;
	if (listening->owners && !listening->asked) {
		look_for_owners(listening);
		if (listening->owners)
			return;
	}
	changed = read_signs(listening);
	if (listening->asked || changed & ~(1u << SIGN_LAST_PID) || now - listening->looked_ms >= ANYWAY_MS ||
	    socktable_due(&listening->table, listening->looked_ms, &listening->clients) <= now - listening->looked_ms)
		look(listening);
	if (!listening->owners)
		wait_for_next(listening, now_us() - begun, changed == 0);
}

int listening_new(struct listening **ret, struct loop *loop, listening_fn *fn, void *data)
{
	struct listening *listening = calloc(1, sizeof(*listening));
	int result;

	if (!listening)
		return -ENOMEM;
	*listening = (struct listening){.loop = loop, .fn = fn, .data = data, .interval_ms = QUICK_MS};
	listening->diag = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	for (size_t i = 0; i < COUNT_OF(sign_files); i++)
		listening->signs[i] = open(sign_files[i], O_RDONLY | O_CLOEXEC);
	result = loop_add_timer(&listening->timer, loop, UINT64_MAX, on_timer, listening);
	if (result < 0) {
		listening_free(listening);
		return result;
	}
	*ret = listening;
	return 0;
}

void listening_free(struct listening *listening)
{
	if (!listening)
		return;
	loop_source_free(listening->timer);
	for (size_t i = 0; i < COUNT_OF(sign_files); i++)
		cleanup_close(&listening->signs[i]);
	cleanup_close(&listening->diag);
	sockowner_free(listening->owners);
	socktable_clear(&listening->table);
	text_list_clear(&listening->told);
	free(listening);
}

void listening_start(struct listening *listening)
{
	listening->running = true;
	listening_tell(listening);
}

void listening_stop(struct listening *listening)
{
	listening->running = false;
}

void listening_tell(struct listening *listening)
{
	listening->asked = listening->tell = true;
	if (listening->running)
		loop_timer_restart(listening->timer, 0);
}

void listening_hurry(struct listening *listening)
{
	if (!listening->running || listening->interval_ms <= QUICK_MS)
		return;
	listening->interval_ms = QUICK_MS;
	loop_timer_restart(listening->timer, QUICK_MS);
}
