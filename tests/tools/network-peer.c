/*
 * Both ends of connections for tests and measures of the network, in a machine and on its host; static, for any image.
 *
 *	network-peer serve PORT                  gives back whatever it is sent, on every address
 *	network-peer rate HOST PORT AT_ONCE MS   connects, sends a byte, has its answer, closes; again, so many at once
 *	network-peer latency HOST PORT COUNT     sends a byte and has its answer, on one connection
 *	network-peer hold HOST PORT COUNT        keeps so many connections, each of which was answered: until its input
 *ends
 *
 * What it measured is printed as one line.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, PIECE = 65536, AT_ONCE_MAX = 1000, COUNT_MAX = 20000, PATIENCE_MS = 30000, LOST_MS = 10000 };

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "network-peer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static int number(const char *text, int max)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (!*text || *end || value <= 0 || value > max) {
		errno = EINVAL;
		fail(text);
	}
	return (int)value;
}

static void watch(int loop, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl");
}

/* Waits for who is slow to take it, which is good enough for one byte or one client. */
static void give_back(int fd)
{
	static char bytes[PIECE];
	ssize_t size = read(fd, bytes, sizeof(bytes));

	for (ssize_t done = 0, part; done < size; done += part) {
		part = send(fd, bytes + done, (size_t)(size - done), MSG_NOSIGNAL);
		if (part < 0) {
			close(fd);
			return;
		}
	}
	if (size <= 0)
		close(fd);
}

static _Noreturn void serve(const char *port)
{
	static const int on = 1, off = 0;
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number(port, 65535))};
	int listener = socket(AF_INET6, SOCK_STREAM, 0);
	int loop = epoll_create1(0);

	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 4096) < 0)
		fail("listen");
	watch(loop, listener, EPOLLIN);
	for (;;) {
		struct epoll_event events[EVENTS];
		int count = epoll_wait(loop, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd != listener) {
				give_back(fd);
				continue;
			}
			fd = accept(listener, NULL, NULL);
			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			watch(loop, fd, EPOLLIN);
		}
	}
}

static struct addrinfo *find(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int status = getaddrinfo(host, port, &hints, &found);

	if (status != 0) {
		fprintf(stderr, "network-peer: %s: %s\n", host, gai_strerror(status));
		exit(1);
	}
	return found;
}

static int dial(const struct addrinfo *to, int flags)
{
	static const int on = 1;
	static const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	int fd = socket(to->ai_family, SOCK_STREAM | flags, 0);

	if (fd < 0)
		fail("socket");
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void answered(int fd)
{
	char byte = 'a';

	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1 || byte != 'a') {
		errno = errno ? errno : EPIPE;
		fail("no answer");
	}
}

static void begin(int loop, const struct addrinfo *to)
{
	watch(loop, dial(to, SOCK_NONBLOCK), EPOLLOUT);
}

/* True: this connection is through. */
static int go_on(int loop, const struct epoll_event *event)
{
	struct epoll_event next = {.events = EPOLLIN, .data = event->data};
	char byte = 'a';

	if (event->events & EPOLLOUT) {
		if (send(event->data.fd, &byte, 1, MSG_NOSIGNAL) != 1)
			fail("send");
		epoll_ctl(loop, EPOLL_CTL_MOD, event->data.fd, &next);
		return 0;
	}
	if (recv(event->data.fd, &byte, 1, 0) != 1) {
		errno = errno ? errno : EPIPE;
		fail("no answer");
	}
	close(event->data.fd);
	return 1;
}

/* How many a second, and how many of the last had no answer although it was waited for. */
static int measure_rate(const struct addrinfo *to, int at_once, int ms)
{
	uint64_t start = now_us(), end = start + (uint64_t)ms * 1000, last = start;
	int loop = epoll_create1(0), running = at_once;
	uint64_t done = 0;

	for (int i = 0; i < at_once; i++)
		begin(loop, to);
	while (running > 0) {
		struct epoll_event events[EVENTS];
		int count = epoll_wait(loop, events, EVENTS, LOST_MS);

		if (count <= 0)
			break;
		for (int i = 0; i < count; i++) {
			if (!go_on(loop, &events[i]))
				continue;
			done++;
			last = now_us();
			if (last < end)
				begin(loop, to);
			else
				running--;
		}
	}
	if (done == 0) {
		errno = ETIMEDOUT;
		fail("no answer");
	}
	printf("%.1f %d\n", (double)done * 1e6 / (double)(last - start), running);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int measure_latency(const struct addrinfo *to, int count)
{
	static uint64_t times[COUNT_MAX];
	int fd = dial(to, 0);

	answered(fd); /* whoever passes it on has its own connection by then */
	for (int i = 0; i < count; i++) {
		uint64_t start = now_us();

		answered(fd);
		times[i] = now_us() - start;
	}
	qsort(times, (size_t)count, sizeof(times[0]), compare);
	printf("%llu\n", (unsigned long long)times[count / 2]);
	return 0;
}

static int hold(const struct addrinfo *to, int count, int at_once)
{
	static int held[COUNT_MAX];
	char byte;

	for (int i = 0; i < count; i++) {
		held[i] = dial(to, 0);
		if (!at_once)
			answered(held[i]);
	}
	for (int i = 0; i < count && at_once; i++)
		answered(held[i]);
	printf("%d\n", count);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	for (int i = 0; i < count; i++)
		answered(held[i]);
	for (int i = 0; i < count; i++)
		close(held[i]);
	printf("%d\n", count);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit files;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	if (argc == 6 && strcmp(argv[1], "rate") == 0)
		return measure_rate(find(argv[2], argv[3]), number(argv[4], AT_ONCE_MAX), number(argv[5], 600000));
	if (argc == 5 && strcmp(argv[1], "latency") == 0)
		return measure_latency(find(argv[2], argv[3]), number(argv[4], COUNT_MAX));
	if (argc == 5 && (strcmp(argv[1], "hold") == 0 || strcmp(argv[1], "fill") == 0))
		return hold(find(argv[2], argv[3]), number(argv[4], COUNT_MAX), argv[1][0] == 'h');
	fprintf(stderr, "usage: network-peer serve PORT | rate HOST PORT AT_ONCE MS | latency HOST PORT COUNT | "
			"hold|fill HOST PORT COUNT\n");
	return 2;
}
