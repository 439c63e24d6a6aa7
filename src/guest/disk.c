/*
 * The image's file system is small; the disk is as large as was asked for, and sparse. The kernel grows ext4 while it
 * is mounted. noinit_itable: without it the kernel would go on to write zeroes over the inode tables of all that was
 * added, 16 MiB for each GiB, which the host would have to store. discard: what is deleted is given back to the host.
 */
#include "guest/disk.h"

#include "base/file.h"
#include "base/log.h"
#include "guest/mount.h"
#include "guest/uevent.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define EXT4_RESIZE_FS _IOW('f', 16, uint64_t) /* EXT4_IOC_RESIZE_FS: no public header has it */

enum { UNMOUNT_TRIES = 100, UNMOUNT_PAUSE_MS = 20 };

static const char serial_of_root[] = "root";

static int look(void *data)
{
	DIR *folder = opendir("/sys/block");
	struct dirent *entry;
	int result = -ENOENT;

	while (folder && result == -ENOENT && (entry = readdir(folder))) {
		auto_free char *serial = NULL;
		char path[300];

		snprintf(path, sizeof(path), "%s/serial", entry->d_name);
		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= DISK_NAME_LIMIT ||
		    file_read(&serial, NULL, dirfd(folder), path, 4096) < 0)
			continue;
		serial[strcspn(serial, "\n")] = '\0';
		if (strcmp(serial, serial_of_root) != 0)
			continue;
		strcpy(data, entry->d_name);
		result = 0;
	}
	if (folder)
		closedir(folder);
	return result;
}

static int no_driver(const char *what, const char *driver, const char *option, struct annex_error **err)
{
	fail(err, ANNEX_ERROR_UNSUPPORTED, "the kernel has no driver for %s (%s)", what, driver);
	return fail_hint(err, "use a kernel with %s, built in or as a module", option);
}

int disk_find(char ret[DISK_NAME_LIMIT], int uevents, uint64_t timeout_ms, struct annex_error **err)
{
	int result;

	/* By now all modules are loaded: without it no disk will ever come. */
	if (!file_exists(AT_FDCWD, "/sys/bus/virtio/drivers/virtio_blk"))
		return no_driver("the disk", "virtio_blk", "CONFIG_VIRTIO_BLK", err);
	result = uevent_wait(uevents, timeout_ms, look, ret);
	if (result < 0)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no disk with the serial number \"%s\"",
			    serial_of_root);
	return 0;
}

static uint32_t get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool disk_parse_superblock(uint64_t *ret_blocks, uint32_t *ret_block_size,
			   const uint8_t superblock[DISK_SUPERBLOCK_SIZE])
{
	enum { BLOCKS_LOW = 0x04, LOG_BLOCK_SIZE = 0x18, MAGIC = 0x38, INCOMPATIBLE = 0x60, BLOCKS_HIGH = 0x150 };
	const uint32_t incompatible_64bit = 0x80;
	uint64_t blocks = get32(superblock + BLOCKS_LOW);
	uint32_t log = get32(superblock + LOG_BLOCK_SIZE);

	if (superblock[MAGIC] != 0x53 || superblock[MAGIC + 1] != 0xef || log > 6)
		return false;
	if (get32(superblock + INCOMPATIBLE) & incompatible_64bit)
		blocks |= (uint64_t)get32(superblock + BLOCKS_HIGH) << 32;
	*ret_blocks = blocks;
	*ret_block_size = 1024u << log;
	return true;
}

static int grow(int device, struct annex_error **err)
{
	auto_close int root = open(MOUNT_DISK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t superblock[DISK_SUPERBLOCK_SIZE];
	uint64_t bytes = 0, blocks = 0, wanted;
	uint32_t block_size = 0;

	if (root < 0 || ioctl(device, BLKGETSIZE64, &bytes) < 0)
		return fail_os(err, errno, "cannot tell the disk's size");
	if (pread(device, superblock, sizeof(superblock), 1024) != (ssize_t)sizeof(superblock) ||
	    !disk_parse_superblock(&blocks, &block_size, superblock))
		return fail(err, ANNEX_ERROR_CORRUPT, "the disk has no ext4 superblock");
	wanted = bytes / block_size;
	if (blocks >= wanted)
		return 0;
	if (ioctl(root, EXT4_RESIZE_FS, &wanted) < 0)
		return fail_os(err, errno, "cannot grow the file system from %llu to %llu blocks",
			       (unsigned long long)blocks, (unsigned long long)wanted);
	return 0;
}

int disk_open(struct annex_error **err)
{
	char name[DISK_NAME_LIMIT], path[DISK_NAME_LIMIT + 8];
	int device;

	if (look(name) < 0)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "the disk is gone");
	snprintf(path, sizeof(path), "/dev/%s", name);
	device = open(path, O_RDONLY | O_CLOEXEC);
	return device < 0 ? fail_os(err, errno, "cannot open the root disk %s", path) : device;
}

struct size {
	int device;
	uint64_t wanted, is;
};

static int look_at_size(void *data)
{
	struct size *size = data;

	if (ioctl(size->device, BLKGETSIZE64, &size->is) < 0)
		return -errno;
	return size->is < size->wanted ? -ENOENT : 0;
}

int disk_fill(uint64_t *ret, uint64_t wanted, uint64_t timeout_ms, struct annex_error **err)
{
	auto_close int uevents = uevent_open(), device = disk_open(err);
	struct size size = {.device = device, .wanted = wanted};
	int result;

	if (device < 0)
		return -1;
	if (uevents < 0)
		return fail_os(err, uevents, "cannot listen for the disk");
	result = uevent_wait(uevents, timeout_ms, look_at_size, &size);
	if (result == -ETIMEDOUT)
		return fail(err, ANNEX_ERROR_TIMEOUT, "the machine's kernel has not noticed that the disk is larger");
	if (result < 0)
		return fail_os(err, result, "cannot tell the disk's size");
	*ret = size.is;
	return grow(device, err);
}

int disk_mount(const char *name, struct annex_error **err)
{
	auto_error struct annex_error *not_grown = NULL;
	auto_close int device = -1;
	char path[DISK_NAME_LIMIT + 8];

	snprintf(path, sizeof(path), "/dev/%s", name);
	if (mount(path, MOUNT_DISK, "ext4", 0, "noinit_itable,discard") < 0)
		return errno == ENODEV ? no_driver("the disk's file system", "ext4", "CONFIG_EXT4_FS", err)
				       : fail_os(err, errno, "cannot mount the root disk %s", path);
	device = open(path, O_RDONLY | O_CLOEXEC);
	if (device < 0)
		return fail_os(err, errno, "cannot open the root disk %s", path);
	/* A machine with a disk that is smaller than it should be is better than none. */
	if (grow(device, &not_grown) < 0)
		log_info("%s", annex_error_message(not_grown));
	return 0;
}

void disk_sync(void)
{
	auto_close int root = open(MOUNT_DISK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0 || syncfs(root) < 0)
		log_info("the disk could not be written: %s", strerror(errno));
}

bool disk_unmount(void)
{
	disk_sync();
	for (int i = 0; i < UNMOUNT_TRIES; i++) {
		if (umount2(MOUNT_DISK, 0) == 0 || errno != EBUSY)
			return true;
		/* The namespace of an init that has just ended is taken down in the background; no event tells. */
		poll(NULL, 0, UNMOUNT_PAUSE_MS);
	}
	log_info("the disk is still in use");
	if (mount(NULL, MOUNT_DISK, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		disk_sync();
	return false;
}
