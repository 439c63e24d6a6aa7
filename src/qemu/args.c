/*
 * The command line is built from sections, each of which adds the options of one part of the machine. Nothing is left
 * to QEMU's defaults that add devices (-nodefaults) or read files (-no-user-config), and formats are always named: a
 * raw disk whose guest writes a qcow2 header must not be taken for one.
 *
 * Disks are given as JSON, where no character of a path has a meaning; other values have their commas doubled.
 *
 * Memory is a shared memfd, so that vhost-user helpers can map it. The machine is without what a Linux server guest
 * only spends boot time on. Under TCG, five-level page tables are hidden (longer walks, nothing gained), and the
 * translation cache is bounded, or it would grow to a gigabyte of the host's memory.
 */
#include "qemu/args.h"

#include "json/json.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define MIB (1ull << 20)

/* What depends on the host's architecture, which is the guest's too. */
struct platform {
	const char *host; /* uname -m */
	const char *machine;
	const char *cpu[2][2]; /* [TCG, KVM][nested] */
};

static const struct platform platforms[] = {
	{"x86_64",
	 "q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off,smm=off",
	 {{"max,la57=off,vmx=off,svm=off", "max,la57=off"}, {"host,vmx=off,svm=off", "host"}}},
	{"aarch64", "virt,gic-version=max", {{"max", "max"}, {"host", "host"}}},
};

/* The list under construction; the first failure to allocate is remembered. */
struct builder {
	struct text_list *list;
	const struct qemu_probe *probe;
	const struct qemu_config *config;
	const struct platform *platform;
	bool broken;
};

static void add(struct builder *to, const char *option, const char *format, ...) PRINTF_LIKE(3, 4);
static void add(struct builder *to, const char *option, const char *format, ...)
{
	char *value;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&value, format, args);
	va_end(args);
	if (length < 0) {
		to->broken = true;
		return;
	}
	to->broken |= text_list_add(to->list, option) < 0;
	to->broken |= text_list_add_owned(to->list, value) < 0;
}

static void add_flag(struct builder *to, const char *option)
{
	to->broken |= text_list_add(to->list, option) < 0;
}

/* A value inside a comma-separated list. NULL: out of memory. */
static char *with_commas_doubled(const char *value)
{
	auto_text struct text text = {0};

	for (; *value; value++) {
		if (*value == ',')
			text_add_char(&text, ',');
		text_add_char(&text, *value);
	}
	return text_take(&text);
}

static bool adds_cpus(const struct qemu_config *config)
{
	return config->cpus_max > config->cpus;
}

static void add_machine(struct builder *to)
{
	const struct qemu_config *config = to->config;
	uint64_t mib = (config->memory + MIB - 1) / MIB;
	bool kvm = config->accel == QEMU_ACCEL_KVM;

	if (config->name) {
		auto_free char *name = with_commas_doubled(config->name);

		to->broken |= !name;
		add(to, "-name", "guest=%s", name ? name : "");
	}
	if (config->uuid)
		add(to, "-uuid", "%s", config->uuid);
	add_flag(to, "-nodefaults");
	add_flag(to, "-no-user-config");
	add(to, "-display", "none");
	if (to->probe->sandbox)
		add(to, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add(to, "-machine", "%s,memory-backend=memory", to->platform->machine);
	add(to, "-accel", "%s", kvm ? "kvm" : "tcg,thread=multi,tb-size=256");
	add(to, "-cpu", "%s", to->platform->cpu[kvm][config->nested]);
	if (adds_cpus(config))
		add(to, "-smp", "%u,maxcpus=%u", config->cpus, config->cpus_max);
	else
		add(to, "-smp", "%u", config->cpus);
	if (config->growth > 0)
		add(to, "-m", "%lluM,maxmem=%lluM", (unsigned long long)mib,
		    (unsigned long long)(mib + config->growth / MIB));
	else
		add(to, "-m", "%lluM", (unsigned long long)mib);
	add(to, "-object", "memory-backend-memfd,id=memory,size=%lluM,share=on", (unsigned long long)mib);
	add(to, "-rtc", "base=utc,clock=host");
	add(to, "-action", "panic=shutdown,reboot=%s", config->reset_is_end ? "shutdown" : "reset");
	add_flag(to, "-S");
}

static void add_control(struct builder *to)
{
	add(to, "-chardev", "socket,id=qmp,fd=%d", QEMU_FD_QMP);
	add(to, "-mon", "chardev=qmp,mode=control");
	if (!to->config->console)
		return;
	add(to, "-chardev", "socket,id=console,fd=%d", QEMU_FD_CONSOLE);
	add(to, "-serial", "chardev:console");
}

static void add_kernel(struct builder *to)
{
	add(to, "-kernel", "%s", to->config->kernel);
	if (to->config->initrd)
		add(to, "-initrd", "%s", to->config->initrd);
	if (to->config->command_line)
		add(to, "-append", "%s", to->config->command_line);
}

static void add_disk(struct builder *to, const struct qemu_disk *disk, size_t index)
{
	auto_free char *serial = disk->serial ? with_commas_doubled(disk->serial) : NULL;
	const char *discard = disk->discard && !disk->read_only ? "unmap" : "ignore";
	auto_free char *node = NULL, *text = NULL;
	auto_json json_t *value = NULL;

	if (asprintf(&node, "disk%zu", index) < 0)
		node = NULL;
	if (node)
		value = json_pack("{s:s, s:s, s:b, s:s, s:{s:s, s:s, s:b, s:s}}", "driver", disk->format, "node-name",
				  node, "read-only", disk->read_only, "discard", discard, "file", "driver", "file",
				  "filename", disk->path, "read-only", disk->read_only, "discard", discard);
	text = value ? json_text(value, false) : NULL;
	if (!text || (disk->serial && !serial)) {
		to->broken = true;
		return;
	}
	add(to, "-blockdev", "%s", text);
	add(to, "-device", "virtio-blk-pci,id=%s-device,drive=%s,disable-legacy=on%s%s", node, node,
	    serial ? ",serial=" : "", serial ? serial : "");
}

/* The longest queue that the device takes, so that few requests have to wait for room in it. */
static void add_share(struct builder *to)
{
	auto_free char *tag = NULL;

	if (to->config->share_queues == 0)
		return;
	tag = with_commas_doubled(to->config->share_tag);
	to->broken |= !tag;
	add(to, "-chardev", "socket,id=share,fd=%d", QEMU_FD_SHARE);
	add(to, "-device", "vhost-user-fs-pci,chardev=share,tag=%s,queue-size=1024,num-request-queues=%u",
	    tag ? tag : "", to->config->share_queues);
}

/* Memory that the guest takes, or gives back, block by block. Nothing of it is the host's before that. */
static void add_growth(struct builder *to)
{
	if (to->config->growth == 0)
		return;
	add(to, "-object", "memory-backend-memfd,id=growing,size=%lluM,share=on",
	    (unsigned long long)(to->config->growth / MIB));
	add(to, "-device", "virtio-mem-pci,id=growth,memdev=growing,requested-size=0,disable-legacy=on");
}

static void add_network(struct builder *to)
{
	const struct qemu_config *config = to->config;
	const uint8_t *at = config->network_address;
	static const uint8_t none[6];
	char address[32] = "", mtu[32] = "";

	if (!config->network)
		return;
	if (memcmp(at, none, sizeof(none)) != 0)
		snprintf(address, sizeof(address), ",mac=%02x:%02x:%02x:%02x:%02x:%02x", at[0], at[1], at[2], at[3],
			 at[4], at[5]);
	if (config->network_mtu > 0)
		snprintf(mtu, sizeof(mtu), ",host_mtu=%u", config->network_mtu);
	add(to, "-netdev", "dgram,id=network,local.type=fd,local.str=%d", QEMU_FD_NETWORK);
	add(to, "-device", "virtio-net-pci,netdev=network,disable-legacy=on,romfile=%s%s", address, mtu);
}

static void add_devices(struct builder *to)
{
	const struct qemu_config *config = to->config;

	for (size_t i = 0; i < config->disk_count; i++)
		add_disk(to, &config->disks[i], i);
	if (config->port_count > 0)
		add(to, "-device", "virtio-serial-pci,id=ports,disable-legacy=on");
	for (size_t i = 0; i < config->port_count; i++) {
		auto_free char *name = with_commas_doubled(config->ports[i]);

		to->broken |= !name;
		add(to, "-chardev", "socket,id=port%zu,fd=%zu", i, QEMU_FD_PORTS + i);
		add(to, "-device", "virtserialport,bus=ports.0,nr=%zu,chardev=port%zu,name=%s", i + 1, i,
		    name ? name : "");
	}
	add_share(to);
	add(to, "-object", "rng-random,id=random,filename=/dev/urandom");
	add(to, "-device", "virtio-rng-pci,rng=random,disable-legacy=on");
	add(to, "-device", "virtio-balloon-pci,disable-legacy=on,free-page-reporting=on");
	add_growth(to);
	add(to, "-device", "pvpanic-pci");
	add_network(to);
}

static int check_disks(const struct qemu_config *config, struct annex_error **err)
{
	if (config->disk_count > QEMU_DISKS_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "more than %d disks", QEMU_DISKS_MAX);
	for (size_t i = 0; i < config->disk_count; i++) {
		const struct qemu_disk *disk = &config->disks[i];

		if (!disk->path || !*disk->path)
			return fail(err, ANNEX_ERROR_USAGE, "disk %zu has no path", i);
		if (!text_is_utf8(disk->path, strlen(disk->path)))
			return fail(err, ANNEX_ERROR_USAGE, "disk %zu: the path is not UTF-8", i);
		if (!text_equal(disk->format, "raw") && !text_equal(disk->format, "qcow2"))
			return fail(err, ANNEX_ERROR_USAGE, "disk %s: format '%s' (raw, qcow2)", disk->path,
				    disk->format ? disk->format : "");
		if (disk->serial && strlen(disk->serial) > QEMU_SERIAL_MAX)
			return fail(err, ANNEX_ERROR_USAGE, "disk %s: the serial is longer than %d characters",
				    disk->path, QEMU_SERIAL_MAX);
	}
	return 0;
}

static int check_hardware(const struct qemu_probe *probe, const struct qemu_config *config, struct annex_error **err)
{
	if (config->cpus < 1 || config->cpus > QEMU_CPUS_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "%u processors (1 to %d)", config->cpus, QEMU_CPUS_MAX);
	if (config->memory < QEMU_MEMORY_LEAST || config->memory > 1ull << 46)
		return fail(err, ANNEX_ERROR_USAGE, "memory of %llu MiB (%llu MiB or more)",
			    (unsigned long long)(config->memory / MIB), QEMU_MEMORY_LEAST / MIB);
	if (config->cpus_max > QEMU_CPUS_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "up to %u processors (1 to %d)", config->cpus_max, QEMU_CPUS_MAX);
	if (config->growth % QEMU_GROWTH_UNIT != 0 || config->growth > 1ull << 46)
		return fail(err, ANNEX_ERROR_USAGE, "memory that grows by %llu bytes",
			    (unsigned long long)config->growth);
	if (!probe->grows && (config->growth > 0 || adds_cpus(config)))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "%s can't add memory or processors to a machine that runs",
			    probe->program);
	return 0;
}

static int check(const struct qemu_probe *probe, const struct qemu_config *config, struct annex_error **err)
{
	if (!config->kernel || !*config->kernel)
		return fail(err, ANNEX_ERROR_USAGE, "no kernel is named");
	if (check_hardware(probe, config, err) < 0)
		return -1;
	if (config->accel == QEMU_ACCEL_AUTO)
		return fail(err, ANNEX_ERROR_USAGE, "no accelerator is chosen");
	if (config->port_count > QEMU_PORTS_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "more than %d ports", QEMU_PORTS_MAX);
	if (config->share_queues > QEMU_SHARE_QUEUES_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "more than %d queues of a shared file system",
			    QEMU_SHARE_QUEUES_MAX);
	if (config->network && !probe->dgram) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "%s, QEMU %s, can't pass frames on by a socket (-netdev dgram)",
		     probe->program, probe->version ? probe->version : "?");
		return fail_hint(err, "install QEMU 7.2 or later, or do without: annex set network=none");
	}
	return check_disks(config, err);
}

static const struct platform *find_platform(void)
{
	struct utsname host;

	uname(&host);
	for (size_t i = 0; i < COUNT_OF(platforms); i++) {
		if (strcmp(platforms[i].host, host.machine) == 0)
			return &platforms[i];
	}
	return NULL;
}

int qemu_args(struct text_list *ret, const struct qemu_probe *probe, const struct qemu_config *config,
	      struct annex_error **err)
{
	auto_text_list struct text_list list = {0};
	struct builder to = {.list = &list, .probe = probe, .config = config, .platform = find_platform()};

	if (!to.platform)
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "virtual machines are not known on this architecture");
	if (check(probe, config, err) < 0)
		return -1;
	add_flag(&to, probe->program);
	add_machine(&to);
	add_control(&to);
	add_kernel(&to);
	add_devices(&to);
	if (to.broken)
		return fail_memory(err);
	*ret = list;
	list = (struct text_list){0};
	return 0;
}

static void add_quoted(struct text *text, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,@%";

	if (*word && strspn(word, plain) == strlen(word)) {
		text_add(text, word);
		return;
	}
	text_add_char(text, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			text_add(text, "'\\''");
		else
			text_add_char(text, *word);
	}
	text_add_char(text, '\'');
}

char *qemu_args_text(const struct text_list *args)
{
	auto_text struct text text = {0};

	for (size_t i = 0; i < args->count; i++) {
		bool is_option = args->items[i][0] == '-';

		if (i > 0)
			text_add(&text, is_option ? " \\\n\t" : " ");
		add_quoted(&text, args->items[i]);
	}
	text_add_char(&text, '\n');
	return text_take(&text);
}
