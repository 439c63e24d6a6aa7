#include "test.h"

#include "qemu/args.h"

#include <string.h>

static const struct qemu_probe probe = {.program = (char *)"/opt/qemu",
					.version = (char *)"7.2.0",
					.major = 7,
					.minor = 2,
					.sandbox = true,
					.dgram = true,
					.grows = true};

static struct qemu_config small(void)
{
	return (struct qemu_config){.kernel = "/k/vmlinux", .memory = 512ull << 20, .cpus = 2, .accel = QEMU_ACCEL_TCG};
}

/* The value behind the `nth` occurrence of an option, or NULL. */
static const char *option(const struct text_list *args, const char *name, size_t nth)
{
	for (size_t i = 0; i + 1 < args->count; i++) {
		if (strcmp(args->items[i], name) == 0 && nth-- == 0)
			return args->items[i + 1];
	}
	return NULL;
}

static bool has(const struct text_list *args, const char *name, const char *part)
{
	const char *value;

	for (size_t i = 0; (value = option(args, name, i)); i++) {
		if (strstr(value, part))
			return true;
	}
	return false;
}

static void a_small_machine_has_no_more_than_it_needs(void **state)
{
	auto_text_list struct text_list args = {0};
	auto_error struct annex_error *err = NULL;
	struct qemu_config config = small();

	(void)state;
	assert_int_equal(qemu_args(&args, &probe, &config, &err), 0);
	assert_string_equal(args.items[0], "/opt/qemu");
	assert_string_equal(option(&args, "-kernel", 0), "/k/vmlinux");
	assert_string_equal(option(&args, "-m", 0), "512M");
	assert_string_equal(option(&args, "-smp", 0), "2");
	assert_true(has(&args, "-machine", "memory-backend=memory"));
	assert_true(has(&args, "-object", "memory-backend-memfd,id=memory,size=512M,share=on"));
	assert_true(has(&args, "-sandbox", "on,"));
	assert_true(has(&args, "-device", "virtio-rng-pci"));
	assert_true(has(&args, "-device", "free-page-reporting=on"));
	assert_null(option(&args, "-initrd", 0));
	assert_null(option(&args, "-append", 0));
	assert_null(option(&args, "-netdev", 0));
	assert_null(option(&args, "-blockdev", 0));
	assert_false(has(&args, "-device", "vhost-user-fs"));
	assert_null(option(&args, "-serial", 0));
	assert_null(option(&args, "-uuid", 0));
	assert_false(has(&args, "-device", "virtio-serial"));
	assert_false(has(&args, "-device", "virtio-mem"));
}

static void what_can_be_added_later_has_its_place(void **state)
{
	auto_text_list struct text_list args = {0}, refused = {0};
	auto_error struct annex_error *err = NULL;
	struct qemu_config config = small();
	struct qemu_probe lesser = probe;

	(void)state;
	config.growth = 1ull << 30;
	config.cpus_max = 4;
	assert_int_equal(qemu_args(&args, &probe, &config, &err), 0);
	assert_string_equal(option(&args, "-m", 0), "512M,maxmem=1536M");
	assert_string_equal(option(&args, "-smp", 0), "2,maxcpus=4");
	assert_true(has(&args, "-object", "memory-backend-memfd,id=growing,size=1024M,share=on"));
	assert_true(has(&args, "-device", "virtio-mem-pci,id=growth,memdev=growing,requested-size=0"));
	lesser.grows = false;
	assert_int_equal(qemu_args(&refused, &lesser, &config, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_UNSUPPORTED);
}

static void everything_that_is_configured_appears(void **state)
{
	auto_text_list struct text_list args = {0};
	auto_error struct annex_error *err = NULL;
	const struct qemu_disk disks[] = {
		{.path = "/d/a,b \"c\".qcow2", .format = "qcow2", .serial = "root,1", .discard = true},
		{.path = "/d/ro.img", .format = "raw", .read_only = true, .discard = true},
	};
	struct qemu_config config = small();

	(void)state;
	config.name = "dev,x";
	config.uuid = "11111111-2222-3333-4444-555555555555";
	config.initrd = "/k/initrd";
	config.command_line = "console=ttyS0 quiet";
	config.memory = (1ull << 30) + 1;
	config.disks = disks;
	config.disk_count = 2;
	config.network = true;
	memcpy(config.network_address, (const uint8_t[]){0x02, 0x61, 0x6e, 0x78, 3, 0x17}, 6);
	config.network_mtu = 65520;
	config.ports = (const char *const[]){"org.annex.guest", "second"};
	config.port_count = 2;
	config.share_queues = 2;
	config.share_tag = "annex";
	config.console = true;
	config.reset_is_end = true;
	assert_int_equal(qemu_args(&args, &probe, &config, &err), 0);
	assert_string_equal(option(&args, "-name", 0), "guest=dev,,x");
	assert_string_equal(option(&args, "-append", 0), "console=ttyS0 quiet");
	assert_string_equal(option(&args, "-initrd", 0), "/k/initrd");
	assert_string_equal(option(&args, "-m", 0), "1025M");
	assert_true(has(&args, "-blockdev", "\"filename\":\"/d/a,b \\\"c\\\".qcow2\""));
	assert_true(has(&args, "-blockdev",
			"\"driver\":\"qcow2\",\"node-name\":\"disk0\",\"read-only\":false,"
			"\"discard\":\"unmap\""));
	assert_true(has(&args, "-blockdev",
			"\"driver\":\"raw\",\"node-name\":\"disk1\",\"read-only\":true,"
			"\"discard\":\"ignore\""));
	assert_true(has(&args, "-device", "drive=disk0,disable-legacy=on,serial=root,,1"));
	assert_true(has(&args, "-device", "chardev=port1,name=second"));
	assert_true(has(&args, "-chardev", "socket,id=qmp,fd=3"));
	assert_true(has(&args, "-chardev", "socket,id=console,fd=4"));
	assert_true(has(&args, "-chardev", "socket,id=port0,fd=7"));
	assert_true(has(&args, "-chardev", "socket,id=port1,fd=8"));
	assert_true(has(&args, "-chardev", "socket,id=share,fd=5"));
	assert_true(has(&args, "-device", "vhost-user-fs-pci,chardev=share,tag=annex,"));
	assert_true(has(&args, "-netdev", "dgram,id=network,local.type=fd,local.str=6"));
	assert_true(has(&args, "-device", "virtio-net-pci"));
	assert_true(has(&args, "-device", "mac=02:61:6e:78:03:17,host_mtu=65520"));
	assert_true(has(&args, "-action", "reboot=shutdown"));
}

static void virtualization_is_hidden_unless_asked_for(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	for (int i = 0; i < 4; i++) {
		auto_text_list struct text_list args = {0};
		struct qemu_config config = small();
		bool kvm = i & 1, nested = i & 2;

		config.accel = kvm ? QEMU_ACCEL_KVM : QEMU_ACCEL_TCG;
		config.nested = nested;
		assert_int_equal(qemu_args(&args, &probe, &config, &err), 0);
		assert_int_equal(has(&args, "-accel", "kvm"), kvm);
		assert_int_equal(has(&args, "-cpu", "host"), kvm);
		assert_int_equal(has(&args, "-cpu", "svm=off"), !nested);
	}
}

static void expect_refused(const struct qemu_config *config, const struct qemu_probe *by, enum annex_error_kind kind)
{
	auto_text_list struct text_list args = {0};
	auto_error struct annex_error *err = NULL;

	assert_int_equal(qemu_args(&args, by, config, &err), -1);
	assert_int_equal(annex_error_kind(err), kind);
	assert_int_equal(args.count, 0);
}

static void what_qemu_would_misunderstand_is_refused(void **state)
{
	struct qemu_disk disk = {.path = "/d", .format = "vmdk"};
	struct qemu_probe lesser = probe;
	struct qemu_config config = small();

	(void)state;
	config.disks = &disk;
	config.disk_count = 1;
	expect_refused(&config, &probe, ANNEX_ERROR_USAGE);
	disk = (struct qemu_disk){.path = "/d", .format = "raw", .serial = "123456789012345678901"};
	expect_refused(&config, &probe, ANNEX_ERROR_USAGE);
	disk = (struct qemu_disk){.path = "/\xff", .format = "raw"};
	expect_refused(&config, &probe, ANNEX_ERROR_USAGE);
	config = small();
	config.cpus = 0;
	expect_refused(&config, &probe, ANNEX_ERROR_USAGE);
	config = small();
	config.memory = QEMU_MEMORY_LEAST - 1;
	expect_refused(&config, &probe, ANNEX_ERROR_USAGE);
	config = small();
	config.accel = QEMU_ACCEL_AUTO;
	expect_refused(&config, &probe, ANNEX_ERROR_USAGE);
	config = small();
	config.kernel = NULL;
	expect_refused(&config, &probe, ANNEX_ERROR_USAGE);
	config = small();
	config.network = true;
	lesser.dgram = false;
	expect_refused(&config, &lesser, ANNEX_ERROR_UNSUPPORTED);
}

static void people_can_paste_it_into_a_shell(void **state)
{
	auto_text_list struct text_list args = {0};
	auto_free char *text = NULL;

	(void)state;
	assert_int_equal(text_list_add(&args, "/opt/qemu"), 0);
	assert_int_equal(text_list_add(&args, "-nodefaults"), 0);
	assert_int_equal(text_list_add(&args, "-append"), 0);
	assert_int_equal(text_list_add(&args, "a='b' $c"), 0);
	text = qemu_args_text(&args);
	assert_string_equal(text, "/opt/qemu \\\n\t-nodefaults \\\n\t-append 'a='\\''b'\\'' $c'\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_machine_has_no_more_than_it_needs),
		cmocka_unit_test(what_can_be_added_later_has_its_place),
		cmocka_unit_test(everything_that_is_configured_appears),
		cmocka_unit_test(virtualization_is_hidden_unless_asked_for),
		cmocka_unit_test(what_qemu_would_misunderstand_is_refused),
		cmocka_unit_test(people_can_paste_it_into_a_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
