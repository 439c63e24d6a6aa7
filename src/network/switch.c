/*
 * There is nobody in the middle: who sends connects a socket to the other machine's, and who that is the kernel tells
 * from the name that the sender's socket was bound to. A process that is confined can bind no other, and sockets keep
 * their names for life: so each of the sockets that this one sends by is bound to the machine's name before that, its
 * entry in the folder removed at once to make room for the next. The last one's stays: that one receives. Names begin
 * with the network's, since a machine of another network could reach the socket, too: what comes from there is not
 * taken.
 *
 * A socket per machine that is sent to, and not one for all: the kernel counts what waits at a receiver against the
 * sender's socket, so one that doesn't read would silence this one for all others; and only a connected socket tells
 * when there is room again (ten datagrams may wait at a receiver, net.unix.max_dgram_qlen). Until then frames wait
 * here, as far as SWITCH_QUEUE_MAX goes: what is lost then TCP sends again, more slowly. When there are more machines
 * than sockets, the one that was used longest ago changes hands.
 *
 * Nothing is learned and nothing kept in step: hardware addresses contain the place, which is the socket's name. A
 * machine that was killed leaves a socket that refuses, which is looked at whenever a name or place is asked for.
 */
#include "network/switch.h"

#include "base/file.h"
#include "network/address.h"
#include "network/neighbor.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum {
	SEND_BUFFER = 1 << 20, /* as much of it as the host allows */
	PLACE_TEXT = 16,
};

/* A frame that waits. */
struct waiting {
	struct waiting *next;
	size_t size;
	uint8_t bytes[];
};

/* A socket to send by, and whom it is connected to. */
struct peer {
	struct network_switch *owner;
	struct loop_source *source;
	struct waiting *first, **last;
	size_t queued;
	uint64_t used;  /* when, by the switch's count */
	uint32_t place; /* 0: nobody */
	int fd;
};

struct network_switch {
	switch_deliver_fn *deliver;
	void *data;
	struct loop_source *source;
	char *network;
	DIR *folder; /* open for life: there is no opening it when confined */
	uint64_t count;
	size_t queued; /* bytes, for all */
	uint32_t place;
	int fd;    /* receives */
	int probe; /* looks whether somebody is there */
	bool held;
	struct peer peers[SWITCH_PEERS_MAX];
	uint8_t buffer[PACKET_MAX + 1];
};

static const char *place_text(char buffer[PLACE_TEXT], uint32_t place)
{
	snprintf(buffer, PLACE_TEXT, "%u.%u", (unsigned)(place >> 8 & 0xff), (unsigned)(place & 0xff));
	return buffer;
}

/* Only what place_text() makes: "3.7", no zeros before, nothing behind. */
static bool read_place(uint32_t *ret, const char *text)
{
	char again[PLACE_TEXT];
	uint32_t x = 0, y = 0, place;
	const char *dot = strchr(text, '.');

	if (!dot || dot == text || dot - text > 3 || strlen(dot) > 4)
		return false;
	memcpy(again, text, (size_t)(dot - text));
	again[dot - text] = '\0';
	if (text_to_u32(&x, again, 10) < 0 || text_to_u32(&y, dot + 1, 10) < 0 || x > 255 || y > 255)
		return false;
	place = x << 8 | y;
	if (!place_is_valid(place) || strcmp(place_text(again, place), text) != 0)
		return false;
	*ret = place;
	return true;
}

/* Relative to the folder of all networks: it fits, since names are short. */
static struct sockaddr_un name_of(const char *network, uint32_t place)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[PLACE_TEXT];

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", network, place_text(text, place));
	return address;
}

bool switch_sender(uint32_t *ret, const char *network, const struct sockaddr_un *address, socklen_t size)
{
	const size_t header = offsetof(struct sockaddr_un, sun_path);
	size_t length = strlen(network);
	char text[sizeof(address->sun_path) + 1] = {0};

	if (size <= header || size > sizeof(*address) || address->sun_family != AF_UNIX)
		return false;
	memcpy(text, address->sun_path, size - header);
	return strncmp(text, network, length) == 0 && text[length] == '/' && read_place(ret, text + length + 1);
}

static bool is_address_of(const struct packet_address *address, uint32_t place)
{
	uint32_t found = 0;

	if (address->v6)
		return place_of_guest6(&found, &address->of.v6_) && found == place;
	return place_of_guest(&found, address->of.v4) && found == place;
}

bool switch_accepts(struct packet *ret, uint32_t place, uint32_t from, const uint8_t *frame, size_t size)
{
	uint8_t ours[6], theirs[6];

	/* Nobody tells others where somebody is: each annex-network answers its own machine. */
	if (size > PACKET_MAX || !packet_parse(ret, frame, size) || !ret->is_ip || neighbor_speaks(ret))
		return false;
	place_hardware(ours, place);
	place_hardware(theirs, from);
	return from != place && memcmp(ret->to, ours, sizeof(ours)) == 0 &&
	       memcmp(ret->from, theirs, sizeof(theirs)) == 0 && is_address_of(&ret->source, from) &&
	       is_address_of(&ret->destination, place);
}

static int connect_to(int fd, const char *network, uint32_t place)
{
	struct sockaddr_un address = name_of(network, place);

	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static void drop_first(struct peer *peer)
{
	struct waiting *frame = peer->first;

	peer->first = frame->next;
	if (!peer->first)
		peer->last = &peer->first;
	peer->queued -= frame->size;
	peer->owner->queued -= frame->size;
	free(frame);
}

static void drop_all(struct peer *peer)
{
	while (peer->first)
		drop_first(peer);
	loop_source_watch(peer->source, 0);
}

/* -EAGAIN: there is no room. Any other error: it can't have it. */
static int send_frame(struct peer *peer, const uint8_t *frame, size_t size)
{
	for (int tries = 0;; tries++) {
		if (send(peer->fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno == EWOULDBLOCK || errno == ENOBUFS)
			return -EAGAIN;
		if (errno == EMSGSIZE || errno == ENOMEM)
			return -errno;
		/* It has gone, and may be back with a new socket. */
		if (tries > 0 || connect_to(peer->fd, peer->owner->network, peer->place) < 0) {
			peer->place = 0;
			return -ECONNREFUSED;
		}
	}
}

static void wait_for_room(struct peer *peer, const uint8_t *frame, size_t size)
{
	struct network_switch *sw = peer->owner;
	struct waiting *made;

	if (peer->queued + size > SWITCH_QUEUE_MAX || sw->queued + size > SWITCH_QUEUES_MAX)
		return;
	made = malloc(sizeof(*made) + size);
	if (!made)
		return;
	*made = (struct waiting){.size = size};
	memcpy(made->bytes, frame, size);
	*peer->last = made;
	peer->last = &made->next;
	peer->queued += size;
	sw->queued += size;
	loop_source_watch(peer->source, EPOLLOUT);
}

static void on_room(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct peer *peer = data;

	(void)source;
	(void)fd;
	(void)events;
	while (peer->first) {
		int result = send_frame(peer, peer->first->bytes, peer->first->size);

		if (result == -EAGAIN)
			return;
		drop_first(peer);
		if (peer->place == 0)
			drop_all(peer);
	}
	loop_source_watch(peer->source, 0);
}

/* Better to take one from: nothing waits there, and it was used longer ago. */
static bool is_freer(const struct peer *peer, const struct peer *than)
{
	if (!peer->first != !than->first)
		return !peer->first;
	return peer->used < than->used;
}

/* NULL: that machine is not there; then nobody loses a socket. */
static struct peer *find_peer(struct network_switch *sw, uint32_t place)
{
	struct peer *freest = &sw->peers[0];

	for (size_t i = 0; i < SWITCH_PEERS_MAX; i++) {
		struct peer *peer = &sw->peers[i];

		if (peer->place == place) {
			peer->used = ++sw->count;
			return peer;
		}
		if (is_freer(peer, freest))
			freest = peer;
	}
	if (connect_to(freest->fd, sw->network, place) < 0)
		return NULL;
	drop_all(freest);
	freest->place = place;
	freest->used = ++sw->count;
	return freest;
}

void switch_send(struct network_switch *sw, const struct packet *packet)
{
	uint32_t place = 0;
	struct peer *peer;

	if (!packet->is_ip || !place_of_hardware(&place, packet->to) || !place_is_valid(place) || place == sw->place)
		return;
	peer = find_peer(sw, place);
	if (peer && (peer->first || send_frame(peer, packet->frame, packet->size) == -EAGAIN))
		wait_for_room(peer, packet->frame, packet->size);
}

static void on_frame(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct network_switch *sw = data;

	(void)source;
	(void)events;
	for (unsigned i = 0; i < SWITCH_RECEIVE_MAX && !sw->held; i++) {
		struct sockaddr_un address = {0};
		socklen_t length = sizeof(address);
		struct packet packet = {0};
		uint32_t from = 0;
		/* What is longer is cut, and told by its length. */
		ssize_t size = recvfrom(fd, sw->buffer, sizeof(sw->buffer), MSG_DONTWAIT, (struct sockaddr *)&address,
					&length);

		if (size < 0)
			return;
		if (switch_sender(&from, sw->network, &address, length) &&
		    switch_accepts(&packet, sw->place, from, sw->buffer, (size_t)size))
			sw->deliver(&packet, sw->data);
	}
}

void switch_hold(struct network_switch *sw, bool hold)
{
	if (sw->held == hold)
		return;
	sw->held = hold;
	loop_source_watch(sw->source, hold ? 0 : EPOLLIN);
}

bool switch_has(struct network_switch *sw, uint32_t place)
{
	return place == sw->place || (place_is_valid(place) && connect_to(sw->probe, sw->network, place) == 0);
}

/* Whose name leads where. */
static bool read_link(uint32_t *ret, int folder, const char *name)
{
	char text[PLACE_TEXT];
	ssize_t length = readlinkat(folder, name, text, sizeof(text));

	if (length < 0 || length >= (ssize_t)sizeof(text))
		return false;
	text[length] = '\0';
	return read_place(ret, text);
}

static bool is_name(const char *text)
{
	return *text && !strpbrk(text, "./");
}

bool switch_find(uint32_t *ret, struct network_switch *sw, const char *name)
{
	uint32_t place = 0;

	if (!is_name(name) || !read_link(&place, dirfd(sw->folder), name) || !switch_has(sw, place))
		return false;
	*ret = place;
	return true;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int switch_list(struct text_list *ret, struct network_switch *sw, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};
	struct dirent *entry;
	uint32_t ignored;

	rewinddir(sw->folder);
	for (unsigned i = 0; i < SWITCH_LIST_MAX && (entry = readdir(sw->folder)); i++) {
		if (switch_find(&ignored, sw, entry->d_name) && text_list_add(&names, entry->d_name) < 0)
			return fail_memory(err);
	}
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_texts);
	*ret = names;
	names = (struct text_list){0};
	return 0;
}

static int open_socket(int *ret, struct annex_error **err)
{
	const int size = SEND_BUFFER;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return fail_os(err, errno, "cannot make a socket");
	/* A smaller one serves, too. */
	(void)!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret = fd;
	return 0;
}

/* In the place of what is there. */
static int bind_socket(const struct network_switch *sw, int fd, struct annex_error **err)
{
	struct sockaddr_un address = name_of(sw->network, sw->place);

	if ((unlink(address.sun_path) < 0 && errno != ENOENT) ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return fail_os(err, errno, "cannot make socket networks/%s", address.sun_path);
	return 0;
}

/* Names that lead to this machine's place: they are of a machine that was killed and deleted. But if that is there, it
 * has the place. */
static int displace(struct network_switch *sw, const char *name, struct annex_error **err)
{
	bool is_there = connect_to(sw->probe, sw->network, sw->place) == 0;
	struct dirent *entry;

	while ((entry = readdir(sw->folder))) {
		char address[ADDRESS_TEXT];
		uint32_t place = 0;

		if (!is_name(entry->d_name) || strcmp(entry->d_name, name) == 0 ||
		    !read_link(&place, dirfd(sw->folder), entry->d_name) || place != sw->place)
			continue;
		if (is_there) {
			fail(err, ANNEX_ERROR_BUSY, "machine '%s' has the address %s, too", entry->d_name,
			     place_host_text(address, place));
			return fail_hint(err, "annex stop %s", entry->d_name);
		}
		unlinkat(dirfd(sw->folder), entry->d_name, 0);
	}
	return 0;
}

static int link_name(const struct network_switch *sw, const char *name, struct annex_error **err)
{
	auto_free char *draft = NULL;
	char text[PLACE_TEXT];
	int folder = dirfd(sw->folder);

	if (asprintf(&draft, ".%s", name) < 0) {
		draft = NULL;
		return fail_memory(err);
	}
	unlinkat(folder, draft, 0);
	if (symlinkat(place_text(text, sw->place), folder, draft) < 0 || renameat(folder, draft, folder, name) < 0)
		return fail_os(err, errno, "cannot make link networks/%s/%s", sw->network, name);
	return 0;
}

static int open_folder(struct network_switch *sw, const char *folder, struct annex_error **err)
{
	auto_free char *above = strndup(folder, (size_t)(path_name(folder) - folder));
	int result;

	sw->network = strdup(path_name(folder));
	if (!above || !sw->network)
		return fail_memory(err);
	if (strlen(sw->network) + PLACE_TEXT >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return fail(err, ANNEX_ERROR_USAGE, "network '%s': the name is too long", sw->network);
	result = file_make_folders(folder, 0700);
	if (result == 0 && chdir(above) < 0)
		result = -errno;
	if (result == 0)
		sw->folder = opendir(sw->network);
	if (result == 0 && !sw->folder)
		result = -errno;
	return result < 0 ? fail_os(err, result, "cannot make folder %s", folder) : 0;
}

static int make_sockets(struct network_switch *sw, struct loop *loop, struct annex_error **err)
{
	/* A socket without a name could still be given one. */
	int result = bind_socket(sw, sw->probe, err);

	for (size_t i = 0; result == 0 && i < SWITCH_PEERS_MAX; i++) {
		struct peer *peer = &sw->peers[i];

		if (open_socket(&peer->fd, err) < 0 || bind_socket(sw, peer->fd, err) < 0)
			return -1;
		result = loop_add_fd(&peer->source, loop, peer->fd, 0, on_room, peer);
		if (result < 0)
			return fail_os(err, result, "cannot watch a socket");
	}
	if (result < 0 || open_socket(&sw->fd, err) < 0 || bind_socket(sw, sw->fd, err) < 0)
		return -1;
	result = loop_add_fd(&sw->source, loop, sw->fd, EPOLLIN, on_frame, sw);
	return result < 0 ? fail_os(err, result, "cannot watch a socket") : 0;
}

int switch_new(struct network_switch **ret, struct loop *loop, const char *folder, uint32_t place, const char *name,
	       switch_deliver_fn *deliver, void *data, struct annex_error **err)
{
	auto_switch struct network_switch *sw = calloc(1, sizeof(*sw));

	if (!sw)
		return fail_memory(err);
	sw->deliver = deliver;
	sw->data = data;
	sw->place = place;
	sw->fd = sw->probe = -EBADF;
	for (size_t i = 0; i < SWITCH_PEERS_MAX; i++)
		sw->peers[i] = (struct peer){.owner = sw, .last = &sw->peers[i].first, .fd = -EBADF};
	if (open_folder(sw, folder, err) < 0 || open_socket(&sw->probe, err) < 0 || displace(sw, name, err) < 0 ||
	    make_sockets(sw, loop, err) < 0 || link_name(sw, name, err) < 0)
		return fail_while(err, "cannot join network '%s'", path_name(folder));
	*ret = TAKE(sw);
	return 0;
}

void switch_free(struct network_switch *sw)
{
	if (!sw)
		return;
	for (size_t i = 0; i < SWITCH_PEERS_MAX; i++) {
		struct peer *peer = &sw->peers[i];

		while (peer->first)
			drop_first(peer);
		loop_source_free(peer->source);
		cleanup_close(&peer->fd);
	}
	loop_source_free(sw->source);
	cleanup_close(&sw->fd);
	cleanup_close(&sw->probe);
	if (sw->folder)
		closedir(sw->folder);
	free(sw->network);
	free(sw);
}

/* The path may be too long for a socket's name, the one by descriptor is not. */
static bool is_bound(int folder, const char *name)
{
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder, name);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

void switch_forget(const char *folder, const char *name, uint32_t place)
{
	auto_close int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char text[PLACE_TEXT];
	uint32_t leads_to = 0;

	/* What is still bound is another machine's, which this one has found in its place. */
	if (fd < 0 || is_bound(fd, place_text(text, place)))
		return;
	unlinkat(fd, text, 0);
	if (is_name(name) && read_link(&leads_to, fd, name) && leads_to == place)
		unlinkat(fd, name, 0);
}

char *switch_folder(const char *runtime, const char *network)
{
	char *path = NULL;

	return asprintf(&path, "%s/networks/%s", runtime, network) < 0 ? NULL : path;
}
