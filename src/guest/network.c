#include "guest/network.h"

#include "base/file.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

bool network_parse(uint32_t *ret_address, uint32_t *ret_mask, const char *text)
{
	const char *slash = strchr(text, '/');
	struct in_addr address;
	char host[INET_ADDRSTRLEN];
	uint32_t bits = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(host) || text_to_u32(&bits, slash + 1, 10) < 0 || bits < 1 ||
	    bits > 32)
		return false;
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	if (inet_pton(AF_INET, host, &address) != 1)
		return false;
	*ret_address = address.s_addr;
	*ret_mask = htonl(~0u << (32 - bits));
	return true;
}

static int interface_up(int fd, const char *name, struct annex_error **err)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		return fail_os(err, errno, "network interface %s", name);
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return fail_os(err, errno, "cannot bring up network interface %s", name);
	return 0;
}

static struct sockaddr *put_address(struct sockaddr *out, uint32_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};

	memcpy(out, &in, sizeof(in));
	return out;
}

static int set_address(int fd, const char *name, uint32_t address, uint32_t mask, struct annex_error **err)
{
	struct ifreq request = {0};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	put_address(&request.ifr_addr, address);
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		return fail_os(err, errno, "cannot set the address of %s", name);
	put_address(&request.ifr_netmask, mask);
	if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
		return fail_os(err, errno, "cannot set the address of %s", name);
	return 0;
}

static int set_gateway(int fd, const char *gateway, struct annex_error **err)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	struct in_addr address;

	if (inet_pton(AF_INET, gateway, &address) != 1)
		return fail(err, ANNEX_ERROR_USAGE, "%s is not an address", gateway);
	put_address(&route.rt_dst, INADDR_ANY);
	put_address(&route.rt_genmask, INADDR_ANY);
	put_address(&route.rt_gateway, address.s_addr);
	if (ioctl(fd, SIOCADDRT, &route) < 0)
		return fail_os(err, errno, "cannot set the default route to %s", gateway);
	return 0;
}

/* The first interface, by name, that is Ethernet (type 1). */
static int find_ethernet(char ret[IFNAMSIZ], struct annex_error **err)
{
	DIR *folder = opendir("/sys/class/net");
	struct dirent *entry;

	ret[0] = '\0';
	while (folder && (entry = readdir(folder))) {
		auto_free char *type = NULL;
		char path[300];

		snprintf(path, sizeof(path), "%s/type", entry->d_name);
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= IFNAMSIZ ||
		    file_read(&type, NULL, dirfd(folder), path, 4096) < 0 || strcmp(type, "1\n") != 0)
			continue;
		if (!ret[0] || strcmp(entry->d_name, ret) < 0)
			strcpy(ret, entry->d_name);
	}
	if (folder)
		closedir(folder);
	if (!ret[0])
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no network interface");
	return 0;
}

int network_loopback(struct annex_error **err)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail_os(err, errno, "cannot set up the network");
	return interface_up(fd, "lo", err);
}

/* Router advertisements count even when the machine forwards packets itself, as it does for its containers. */
static void keep_advertisements(const char *name)
{
	auto_close int fd = -1;
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && file_write_all(fd, "2", 1) < 0)
		return; /* a kernel without IPv6 has none to configure */
}

int network_ethernet(const char *address, const char *gateway, struct annex_error **err)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t number = 0, mask = 0;
	char name[IFNAMSIZ];

	if (fd < 0)
		return fail_os(err, errno, "cannot set up the network");
	if (!network_parse(&number, &mask, address))
		return fail(err, ANNEX_ERROR_USAGE, "%s is not an address with its prefix", address);
	if (find_ethernet(name, err) < 0)
		return -1;
	keep_advertisements(name);
	if (set_address(fd, name, number, mask, err) < 0 || interface_up(fd, name, err) < 0)
		return -1;
	return *gateway ? set_gateway(fd, gateway, err) : 0;
}
