/*
 * Sends a frame as no honest program could, from inside a machine, to its router: UDP with any source and destination.
 *
 *	network-forge INTERFACE SOURCE DESTINATION PORT TEXT [plain|route|fragments|hop]
 *
 * route: with IPv4's loose source routing over the destination, to the router itself; fragments: in two parts; hop: an
 * IPv6 extension header before it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint8_t router[6] = {0x02, 0x61, 0x6e, 0x78, 0xff, 0x01};

static struct frame {
	uint8_t bytes[2048];
	size_t size;
} frame;

static void put(const void *bytes, size_t size)
{
	memcpy(frame.bytes + frame.size, bytes, size);
	frame.size += size;
}

static void put16(unsigned value)
{
	put((const uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static uint32_t sum(uint32_t so_far, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		so_far += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return so_far;
}

static void store_sum(uint8_t *at, uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	at[0] = (uint8_t)(~value >> 8);
	at[1] = (uint8_t)~value;
}

/* The datagram, with its checksum. */
static size_t make_udp(uint8_t *ret, const uint8_t *source, const uint8_t *destination, size_t size, unsigned port,
		       const char *text)
{
	size_t length = 8 + strlen(text);
	uint32_t value = sum(sum(IPPROTO_UDP + (uint32_t)length, source, size), destination, size);

	ret[0] = 0x9c;
	ret[1] = 0x40;
	ret[2] = (uint8_t)(port >> 8);
	ret[3] = (uint8_t)port;
	ret[4] = (uint8_t)(length >> 8);
	ret[5] = (uint8_t)length;
	ret[6] = ret[7] = 0;
	memcpy(ret + 8, text, length - 8);
	store_sum(ret + 6, sum(value, ret, length));
	return length;
}

static void put_v4(const uint8_t *source, const uint8_t *destination, const uint8_t *udp, size_t size, unsigned offset,
		   unsigned more, const uint8_t *route)
{
	uint8_t options[8] = {131, 7, 4, 0, 0, 0, 0, 0};
	size_t header = route ? 28 : 20, start = frame.size;

	put((const uint8_t[]){(uint8_t)(0x40 | header / 4), 0}, 2);
	put16((unsigned)(header + size));
	put16(0x1234);
	put16(offset / 8 | (more ? 0x2000 : 0));
	put((const uint8_t[]){64, IPPROTO_UDP, 0, 0}, 4);
	put(source, 4);
	put(destination, 4);
	if (route) {
		memcpy(options + 3, route, 4);
		put(options, sizeof(options));
	}
	store_sum(frame.bytes + start + 10, sum(0, frame.bytes + start, header));
	put(udp, size);
}

static void put_v6(const uint8_t *source, const uint8_t *destination, const uint8_t *udp, size_t size, int hop)
{
	put((const uint8_t[]){0x60, 0, 0, 0}, 4);
	put16((unsigned)(size + (hop ? 8 : 0)));
	put((const uint8_t[]){hop ? 0 : IPPROTO_UDP, 64}, 2);
	put(source, 16);
	put(destination, 16);
	if (hop)
		put((const uint8_t[]){IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}, 8);
	put(udp, size);
}

static void begin(const uint8_t own[6], unsigned type)
{
	frame.size = 0;
	put(router, 6);
	put(own, 6);
	put16(type);
}

static int send_frame(int fd, int index)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = 6};

	memcpy(to.sll_addr, router, 6);
	return sendto(fd, frame.bytes, frame.size, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	const char *manner = argc > 6 ? argv[6] : "plain";
	int v6 = argc > 3 && strchr(argv[3], ':'), family = v6 ? AF_INET6 : AF_INET, fd, failed = 0;
	uint8_t source[16], destination[16], through[4] = {198, 19, 255, 1}, udp[1024];
	struct ifreq request = {0};
	size_t size;
	int index;

	if (argc < 6 || inet_pton(family, argv[2], source) != 1 || inet_pton(family, argv[3], destination) != 1 ||
	    strlen(argv[5]) > 900) {
		fputs("usage: network-forge INTERFACE SOURCE DESTINATION PORT TEXT [MANNER]\n", stderr);
		return 2;
	}
	fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	strncat(request.ifr_name, argv[1], IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &request) < 0) {
		perror("network-forge");
		return 1;
	}
	index = request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0) {
		perror("network-forge");
		return 1;
	}
	size = make_udp(udp, source, destination, v6 ? 16 : 4, (unsigned)atoi(argv[4]), argv[5]);
	begin((const uint8_t *)request.ifr_hwaddr.sa_data, v6 ? ETH_P_IPV6 : ETH_P_IP);
	if (v6) {
		put_v6(source, destination, udp, size, strcmp(manner, "hop") == 0);
	} else if (strcmp(manner, "route") == 0) {
		put_v4(source, through, udp, size, 0, 0, destination);
	} else if (strcmp(manner, "fragments") == 0) {
		put_v4(source, destination, udp, 16, 0, 1, NULL);
		failed |= send_frame(fd, index);
		begin((const uint8_t *)request.ifr_hwaddr.sa_data, ETH_P_IP);
		put_v4(source, destination, udp + 16, size - 16, 16, 0, NULL);
	} else {
		put_v4(source, destination, udp, size, 0, 0, NULL);
	}
	failed |= send_frame(fd, index);
	if (failed)
		perror("network-forge");
	return failed != 0;
}
