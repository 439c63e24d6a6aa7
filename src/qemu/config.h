#pragma once
#include "qemu/accel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a virtual machine consists of. All texts and arrays are the caller's. */

enum { QEMU_DISKS_MAX = 16, QEMU_PORTS_MAX = 8, QEMU_SERIAL_MAX = 20, QEMU_CPUS_MAX = 255, QEMU_SHARE_QUEUES_MAX = 8 };
#define QEMU_MEMORY_LEAST (64ull << 20)
#define QEMU_GROWTH_UNIT  (4ull << 20)

/* Where what changes while it runs is found: the first disk's node, and the device of memory that is added. */
#define QEMU_NODE_DISK   "disk0"
#define QEMU_PATH_GROWTH "/machine/peripheral/growth"

struct qemu_disk {
	const char *path;
	const char *format; /* "raw" or "qcow2" */
	const char *serial; /* or NULL */
	bool read_only;
	bool discard; /* blocks that the guest discards are given back to the host */
};

struct qemu_config {
	const char *name;         /* for people who look at processes, or NULL */
	const char *uuid;         /* or NULL */
	const char *kernel;       /* an ELF vmlinux with a PVH note, or a bzImage */
	const char *initrd;       /* or NULL */
	const char *command_line; /* or NULL */
	uint64_t memory;          /* bytes */
	uint64_t growth;          /* bytes that it can grow by while the machine runs, a multiple of 4 MiB */
	unsigned cpus;
	unsigned cpus_max;          /* that it can have while it runs; not above cpus: no more than those */
	enum qemu_accel_kind accel; /* KVM or TCG */
	bool nested;                /* the guest may use virtualization itself */
	const struct qemu_disk *disks;
	size_t disk_count;
	/* A network interface: its link is a Unix socket of datagrams, each of them an Ethernet frame, which stays the
	 * caller's. */
	bool network;
	int network_fd;
	uint8_t network_address[6]; /* of the hardware; all zero: QEMU chooses */
	unsigned network_mtu;       /* told to the guest; 0: nothing is */
	const char *const *ports;   /* names of virtio-serial ports, "org.annex.guest" */
	size_t port_count;
	/* A virtio-fs device whose server is a vhost-user back end: how many request queues it has (0: no device), its
	 * tag, and a connected socket to it, which stays the caller's and is used at the start only. */
	unsigned share_queues;
	const char *share_tag;
	int share_fd;
	bool console;      /* connect the serial console; else what is written there is dropped */
	bool reset_is_end; /* a guest that resets itself (reboot, or panic with panic=-1) ends the process */
};
