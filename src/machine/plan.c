#include "machine/plan.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "machine/counter.h"
#include "machine/hardware.h"
#include "machine/hostzone.h"
#include "machine/trust.h"
#include "network/address.h"
#include "qemu/nested.h"
#include "rootfs/overlay.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define PLAN_CLOCK_SOURCE "/sys/devices/system/clocksource/clocksource0/current_clocksource"

static const char *const ports[] = {[PLAN_PORT_GUEST] = "org.annex.guest", [PLAN_PORT_PORTS] = WIRE_PORTS_LINK};

/* Quiet: a serial line costs time, and the guest's agent sends the kernel's log. A panic is printed all the same, and
 * ends the machine. No bounce buffers (swiotlb): 64 MiB that the kernel would set aside because memory may be added
 * behind 4 GiB, for devices that can't reach there, of which there are none. No watchdog for lock-ups: a host that
 * slept or is busy would look like one. */
static const char kernel_parameters[] = "console=ttyS0 quiet panic=-1 rdinit=/init random.trust_cpu=on no_timer_check "
					"swiotlb=noforce nowatchdog";

int machine_open_kernel(struct kernel **ret, const struct machine_paths *paths, const struct machine_settings *settings,
			struct annex_error **err)
{
	auto_free char *folder = path_join(paths->data, "kernels");
	const char *wanted = settings->kernel, *set = getenv("ANNEX_KERNEL");

	if (!folder)
		return fail_memory(err);
	if (strcmp(wanted, "default") == 0)
		wanted = set && *set ? set : NULL;
	return kernel_open(ret, folder, wanted, err);
}

static void plan_network(struct machine_plan *plan, const struct machine_record *record)
{
	plan->place = record->place;
	plan->qemu.network = strcmp(record->settings.network, "none") != 0;
	plan->qemu.network_fd = -1;
	plan->qemu.network_mtu = ADDRESS_MTU;
	place_hardware(plan->qemu.network_address, plan->place);
}

/* What can be added while it runs; as the host's QEMU can. */
static void leave_room(struct qemu_config *config, const struct machine_settings *settings,
		       const struct qemu_probe *probe)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct hardware_room room = hardware_room(settings, cpus < 1 ? 1 : (unsigned)cpus, memory);

	if (!probe->grows)
		return;
	config->growth = room.growth;
	config->cpus_max = room.cpus;
}

static int check_nested(const struct machine_settings *settings, const struct qemu_accel *accel,
			struct annex_error **err)
{
	struct utsname host;

	uname(&host);
	return settings->virtualization ? qemu_nested_check(accel->kind, host.machine, QEMU_NESTED_MODULES, err) : 0;
}

/*
 * Under emulation the processors' counters are one, the host's. The guest's kernel doesn't believe that, and would read
 * the time from the HPET, ten times slower. Where the host's kernel itself goes by the counter, it is right. How fast
 * it counts must be told: the kernel would find out by other clocks of QEMU while the host may have other things to do,
 * and be wrong by a factor of seven, and so would its clock be.
 */
static void add_clock_parameters(struct text *out, enum qemu_accel_kind accel)
{
	auto_free char *source = NULL;
	uint64_t khz;

	if (accel != QEMU_ACCEL_TCG || file_read(&source, NULL, AT_FDCWD, PLAN_CLOCK_SOURCE, 64) < 0 ||
	    !(text_starts(source, "tsc") || text_starts(source, "kvm-clock")))
		return;
	khz = counter_khz();
	if (khz)
		text_printf(out, " tsc=reliable tsc_early_khz=%llu", (unsigned long long)khz);
}

/* NULL: memory ran out. */
static char *command_line(enum qemu_accel_kind accel)
{
	auto_text struct text line = {0};

	text_add(&line, kernel_parameters);
	add_clock_parameters(&line, accel);
	return text_take(&line);
}

int machine_plan_make(struct machine_plan *ret, const struct machine_paths *paths, const struct machine_record *record,
		      const char *agent, struct annex_error **err)
{
	auto_machine_plan struct machine_plan plan = {0};
	const struct machine_settings *settings = &record->settings;
	auto_free char *home = NULL;
	enum qemu_accel_kind accel;

	if (!file_exists(AT_FDCWD, paths->disk))
		return fail(err, ANNEX_ERROR_NOT_FOUND, "the disk %s is gone", paths->disk);
	if (qemu_probe(&plan.probe, paths->data, err) < 0 || qemu_accel_parse(&accel, settings->accel, err) < 0 ||
	    qemu_accel_choose(&plan.accel, &plan.probe, accel, err) < 0 ||
	    check_nested(settings, &plan.accel, err) < 0 ||
	    machine_open_kernel(&plan.kernel, paths, settings, err) < 0 ||
	    kernel_initramfs(&plan.initramfs, plan.kernel, agent, err) < 0 || machine_home(&home, err) < 0 ||
	    machine_shares_make(&plan.shares, paths, settings, home, plan.kernel->modules, plan.kernel->release, err) <
		    0)
		return -1;
	plan.share_queues = settings->cpus < PLAN_SHARE_QUEUES ? (unsigned)settings->cpus : PLAN_SHARE_QUEUES;
	plan.command_line = command_line(plan.accel.kind);
	if (asprintf(&plan.uuid, "%.8s-%.4s-%.4s-%.4s-%.12s", record->id, record->id + 8, record->id + 12,
		     record->id + 16, record->id + 20) < 0)
		plan.uuid = NULL;
	if (!plan.command_line || !plan.uuid)
		return fail_memory(err);
	*ret = plan;
	plan = (struct machine_plan){0};
	ret->disk =
		(struct qemu_disk){.path = paths->disk, .format = "qcow2", .serial = PLAN_DISK_SERIAL, .discard = true};
	ret->qemu = (struct qemu_config){
		.name = record->name,
		.uuid = ret->uuid,
		.kernel = ret->kernel->image,
		.initrd = ret->initramfs,
		.command_line = ret->command_line,
		.memory = settings->memory,
		.cpus = (unsigned)settings->cpus,
		.accel = ret->accel.kind,
		.nested = settings->virtualization,
		.disks = &ret->disk,
		.disk_count = 1,
		.share_queues = ret->share_queues,
		.share_tag = WIRE_SHARE_TAG,
		.ports = ports,
		.port_count = COUNT_OF(ports),
		.console = true,
		.reset_is_end = true,
	};
	plan_network(ret, record);
	leave_room(&ret->qemu, settings, &ret->probe);
	return 0;
}

void machine_plan_clear(struct machine_plan *plan)
{
	qemu_probe_clear(&plan->probe);
	qemu_accel_clear(&plan->accel);
	kernel_free(plan->kernel);
	machine_shares_clear(&plan->shares);
	free(plan->initramfs);
	free(plan->command_line);
	free(plan->uuid);
	*plan = (struct machine_plan){0};
}

int machine_prepare_disk(const struct machine_paths *paths, const struct machine_record *record,
			 struct annex_error **err)
{
	uint64_t size = 0, used = 0;

	if (overlay_info(&size, &used, paths->disk, err) < 0)
		return -1;
	return size < record->settings.disk ? overlay_grow(paths->disk, record->settings.disk, err) : 0;
}

uint32_t machine_stop_signal(const char *text)
{
	uint32_t number = 0;

	if (!text)
		return 0;
	if (text_to_u32(&number, text, 10) == 0)
		return number <= 64 ? number : 0;
	if (text_starts(text, "SIG"))
		text += 3;
	if (text_starts(text, "RTMIN")) {
		text += 5;
		if (*text == '+' && text_to_u32(&number, text + 1, 10) == 0 && number <= 30)
			return 34 + number;
		return *text ? 0 : 34;
	}
	for (int i = 1; i < 32; i++) {
		if (text_equal(sigabbrev_np(i), text))
			return (uint32_t)i;
	}
	return 0;
}

/* Who uses the machine: the user of this process. */
static int fill_user(struct machine_guest *guest, struct annex_error **err)
{
	const struct passwd *user = getpwuid(getuid());
	const struct group *group = getgrgid(getgid());
	auto_free char *plain = NULL;

	if (asprintf(&plain, "u%u", (unsigned)getuid()) < 0) {
		plain = NULL;
		return fail_memory(err);
	}
	guest->user = strdup(user ? user->pw_name : plain);
	guest->shell = strdup(user && *user->pw_shell ? user->pw_shell : "/bin/sh");
	if (machine_home(&guest->home, err) < 0)
		return -1;
	guest->group = strdup(group ? group->gr_name : guest->user ? guest->user : "");
	if (!guest->user || !guest->shell || !guest->home || !guest->group)
		return fail_memory(err);
	guest->config.user_name = guest->user;
	guest->config.shell = guest->shell;
	guest->config.home = guest->home;
	guest->config.group_name = guest->group;
	guest->config.uid = getuid();
	guest->config.gid = getgid();
	return 0;
}

static int fill_time_zone(struct machine_guest *guest, struct annex_error **err)
{
	struct hostzone zone;

	hostzone_find(&zone, "", getenv("TZ"));
	guest->time_zone = strdup(zone.name);
	guest->time_zone_rule = strdup(zone.rule);
	if (!guest->time_zone || !guest->time_zone_rule)
		return fail_memory(err);
	guest->config.time_zone = guest->time_zone;
	guest->config.time_zone_rule = guest->time_zone_rule;
	return 0;
}

/* The texts are in *guest, which stays where it is. */
static void fill_network(struct machine_guest *guest, uint32_t place)
{
	char text[ADDRESS_TEXT];

	snprintf(guest->address, sizeof(guest->address), "%s/%u", place_guest_text(text, place), ADDRESS_PREFIX);
	snprintf(guest->address6, sizeof(guest->address6), "%s/%u", place_guest6_text(text, place), ADDRESS_PREFIX6);
	guest->config.address = guest->address;
	guest->config.address6 = guest->address6;
	guest->config.gateway = place_guest_text(guest->gateway, PLACE_GATEWAY);
	guest->config.gateway6 = place_guest6_text(guest->gateway6, PLACE_GATEWAY);
	guest->config.dns = place_guest_text(guest->dns, PLACE_DNS);
	guest->config.dns6 = place_guest6_text(guest->dns6, PLACE_DNS);
	guest->config.mtu = ADDRESS_MTU;
}

/* What a host that stands behind a proxy has more than others, so that its machines get through it too. Who is isolated
 * has no use for proxies, whose passwords are among what it is not to have. */
static int fill_surroundings(struct machine_guest *guest, const struct machine_settings *settings,
			     struct annex_error **err)
{
	bool host_access = strcmp(settings->host_access, "on") == 0;
	size_t size = 0;

	if (!settings->isolate && proxies_find(&guest->proxies, host_access, err) < 0)
		return -1;
	if (guest->proxies.left_out)
		log_info("a proxy on this host's loopback is left out: host-access=off");
	if (strcmp(settings->ca, "on") == 0 && trust_collect(&guest->certificates, &size, "", err) < 0)
		return -1;
	guest->config.proxies = (const char *const *)guest->proxies.variables.items;
	guest->config.trust = TRUST_SET;
	guest->config.certificates = (struct message_bytes){guest->certificates, size};
	return 0;
}

int machine_guest_make(struct machine_guest *ret, const struct machine_record *record, const struct machine_plan *plan,
		       struct annex_error **err)
{
	auto_machine_guest struct machine_guest guest = {0};

	guest.config = (struct message_config){
		.hostname = record->name,
		.machine_id = record->id,
		.init = record->settings.init,
		.init_argv = (const char *const *)record->init_argv.items,
		.stop_signal = machine_stop_signal(record->stop_signal),
		.network = plan->qemu.network ? "ethernet" : "none",
		.domain = ADDRESS_DOMAIN,
		.realtime_ns = time_realtime_ns(),
		.deadline_factor = plan->accel.slowness,
		.debug = getenv("ANNEX_DEBUG") != NULL,
		.service = record->settings.service,
		.service_user = record->user,
		.service_folder = record->folder,
	};
	if (fill_user(&guest, err) < 0 || fill_time_zone(&guest, err) < 0 ||
	    fill_surroundings(&guest, &record->settings, err) < 0)
		return -1;
	guest.config.image_environment = (uint32_t)record->environment.count;
	for (size_t i = 0; i < record->environment.count; i++) {
		if (text_list_add(&guest.environment, record->environment.items[i]) < 0)
			return fail_memory(err);
	}
	for (size_t i = 0; i < record->settings.environment.count; i++) {
		if (text_list_add(&guest.environment, record->settings.environment.items[i]) < 0)
			return fail_memory(err);
	}
	for (size_t i = 0; i < plan->shares.count; i++) {
		if (text_list_add_owned(&guest.shares, machine_share_wire(&plan->shares.items[i])) < 0)
			return fail_memory(err);
	}
	guest.config.environment = (const char *const *)guest.environment.items;
	guest.config.shares = (const char *const *)guest.shares.items;
	*ret = guest;
	guest = (struct machine_guest){0};
	if (plan->qemu.network)
		fill_network(ret, plan->place);
	return 0;
}

void machine_guest_clear(struct machine_guest *guest)
{
	text_list_clear(&guest->environment);
	text_list_clear(&guest->shares);
	free(guest->user);
	free(guest->group);
	free(guest->home);
	free(guest->shell);
	free(guest->time_zone);
	free(guest->time_zone_rule);
	proxies_clear(&guest->proxies);
	free(guest->certificates);
	*guest = (struct machine_guest){0};
}
