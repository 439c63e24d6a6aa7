/* The smallest guest program that proves an initramfs: inserts the modules in their order, says what it finds, powers
 * off. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static void insert_modules(void)
{
	FILE *order = fopen("/modules/order", "re");
	char line[256];

	if (!order) {
		printf("agent: no order\n");
		return;
	}
	while (fgets(line, sizeof(line), order)) {
		char path[512];
		int fd;

		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), "/modules/%s", line);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
			printf("agent: module %s: %m\n", line);
		else
			printf("agent: module %s: inserted\n", line);
		if (fd >= 0)
			close(fd);
	}
	fclose(order);
}

static void list(const char *what, const char *folder)
{
	DIR *entries = opendir(folder);
	struct dirent *entry;

	printf("agent: %s:", what);
	while (entries && (entry = readdir(entries))) {
		if (entry->d_name[0] != '.')
			printf(" %s", entry->d_name);
	}
	printf("\n");
	if (entries)
		closedir(entries);
}

int main(void)
{
	struct timespec now = {0};
	struct utsname host;

	setvbuf(stdout, NULL, _IOLBF, 0);
	clock_gettime(CLOCK_BOOTTIME, &now);
	if (uname(&host) == 0)
		printf("agent: kernel %s after %ld.%03ld s\n", host.release, (long)now.tv_sec, now.tv_nsec / 1000000);
	if (mount("sys", "/sys", "sysfs", 0, NULL) < 0 || mount("proc", "/proc", "proc", 0, NULL) < 0)
		printf("agent: mount: %m\n");
	insert_modules();
	list("net", "/sys/class/net");
	list("block", "/sys/block");
	list("ports", "/sys/class/virtio-ports");
	clock_gettime(CLOCK_BOOTTIME, &now);
	printf("agent: done after %ld.%03ld s\n", (long)now.tv_sec, now.tv_nsec / 1000000);
	reboot(RB_POWER_OFF);
	return 0;
}
