/* Shares as the host names them, the places that they are bound to, and what systemd calls these. */
#include "test.h"

#include "base/text.h"
#include "folder.h"
#include "guest/autoload.h"
#include "guest/place.h"
#include "guest/share.h"
#include "guest/sharefs.h"
#include "guest/unit.h"

#include <stdio.h>
#include <sys/stat.h>

static void a_share_is_a_name_flags_and_a_target(void **state)
{
	auto_share struct share share = {0}, other = {0};

	(void)state;
	assert_int_equal(share_parse(&share, "home drh /home/ada lovelace", NULL), 0);
	assert_string_equal(share.name, "home");
	assert_string_equal(share.target, "/home/ada lovelace");
	assert_true(share.read_only && share.is_home && !share.is_file);
	assert_int_equal(share_parse(&other, "volume-1 f /..etc/...", NULL), 0);
	assert_true(other.is_file && !other.read_only && !other.is_home);
}

static void what_is_no_share_is_refused(void **state)
{
	static const char *const texts[] = {
		"",           "home",        "home d",   "home d ",   "home  /a",  "home x /a", "home r /a",
		"home df /a", " d /a",       "a/b d /a", ".. d /a",   ". d /a",    "a d a",     "a d /",
		"a d //",     "a d /a/../b", "a d /..",  "a d /a\nb", "a d /./..", "a d /a/.",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		auto_error struct annex_error *err = NULL;
		auto_share struct share share = {0};

		if (share_parse(&share, texts[i], &err) == 0)
			assert_string_equal(texts[i], "refused");
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_GUEST);
	}
}

static void the_home_is_told_among_others(void **state)
{
	static const char *const with[] = {"nonsense", "a d /a", "home dh /home/ada", NULL};

	(void)state;
	assert_true(share_has_home(with));
	assert_false(share_has_home(with + 3));
	assert_false(share_has_home((const char *const[]){"a d /h", "h dr /h", NULL}));
	assert_false(share_has_home(NULL));
}

static void what_is_mounted_is_read_from_a_table(void **state)
{
	static const char table[] =
		"60 59 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
		"75 60 0:38 /home /home/ada rw,nosuid,nodev,relatime shared:12 - virtiofs annex rw\n"
		"76 60 0:38 /volume-1/part /srv/part rw,relatime - virtiofs annex rw\n"
		"77 60 0:39 /volume-2 /srv/other rw,relatime - virtiofs other rw\n"
		"78 60 254:0 /mount-1 /srv/bound rw,relatime - ext4 /dev/vda rw\n"
		"79 60 0:38 /volume-30 /srv/last rw,relatime - virtiofs annex rw";
	static const struct {
		const char *name;
		bool listed;
	} shares[] = {{"home", true},      {"hom", false},     {"homely", false},   {"volume-1", false},
		      {"volume-2", false}, {"mount-1", false}, {"volume-3", false}, {"volume-30", true}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(shares); i++) {
		auto_free char *name = strdup(shares[i].name);
		struct share share = {.name = name};

		assert_int_equal(sharefs_is_listed(table, &share), shares[i].listed);
		assert_false(sharefs_is_listed("", &share));
	}
}

static void make(const char *path)
{
	auto_free char *full = path_join(folder, path);

	assert_int_equal(file_make_folders(full, 0755), 0);
}

static void link_to(const char *to, const char *path)
{
	auto_free char *full = path_join(folder, path);

	assert_int_equal(symlink(to, full), 0);
}

/* The place that was made, as a path of the test's folder; or why not. */
static void expect_place(const char *path, bool is_file, const char *expected)
{
	auto_close int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	auto_error struct annex_error *err = NULL;
	char link[64], found[4096];
	ssize_t length;

	if (place_make(&fd, root, path, is_file, &err) < 0) {
		assert_string_equal(annex_error_message(err), expected);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, found, sizeof(found) - 1);
	assert_true(length > 0);
	found[length] = '\0';
	assert_string_equal(found + strlen(folder), expected);
}

static void what_is_missing_on_the_way_is_made(void **state)
{
	auto_close int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	(void)state;
	expect_place("/new/deep/folder", false, "/new/deep/folder");
	expect_place("//new//deep/folder/", false, "/new/deep/folder");
	expect_place("/new/files/one", true, "/new/files/one");
	expect_place("/new/files/one", true, "/new/files/one");
	assert_int_equal(fstatat(root, "new/deep", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(fstatat(root, "new/files/one", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0644);
}

static void what_is_of_the_other_kind_is_named(void **state)
{
	(void)state;
	expect_place("/kinds/file", true, "/kinds/file");
	expect_place("/kinds/file", false, "/kinds/file is a file, not a folder, in the machine");
	expect_place("/kinds/file/below", false, "/kinds/file is a file, not a folder, in the machine");
	expect_place("/kinds", true, "/kinds is a folder, not a file, in the machine");
}

static void links_mean_what_they_mean_in_the_machine(void **state)
{
	(void)state;
	make("usr/lib");
	link_to("usr/lib", "lib");
	link_to("/usr/../../../../usr", "up");
	link_to("/etc", "outside"); /* there is none in the machine */
	link_to("loop", "loop");
	expect_place("/lib/modules/6.1", false, "/usr/lib/modules/6.1");
	expect_place("/up/lib/x", false, "/usr/lib/x");
	expect_place("/outside/x", false, "/outside is a link to nowhere in the machine");
	expect_place("/outside", false, "/outside is a link to nowhere in the machine");
	expect_place("/loop/x", false, "cannot open /loop in the machine: Too many levels of symbolic links");
}

static void expect_unit(const char *path, const char *name)
{
	auto_text struct text made = {0};

	unit_mount_name(&made, path);
	assert_true(text_ok(&made));
	assert_string_equal(made.data, name);
}

/* As systemd-escape --path --suffix=mount has them. */
static void a_mount_s_unit_is_named_as_systemd_does(void **state)
{
	(void)state;
	expect_unit("/home/ada", "home-ada.mount");
	expect_unit("/srv/a b/c-d_e:f.g", "srv-a\\x20b-c\\x2dd_e:f.g.mount");
	expect_unit("/.hidden/.x", "\\x2ehidden-.x.mount");
	expect_unit("/\xc3\xa9/", "\\xc3\\xa9.mount");
}

static void the_processor_decides_on_the_module_of_kvm(void **state)
{
	(void)state;
	assert_string_equal(autoload_kvm("model name\t: x\nflags\t\t: fpu svm lm\n"), "kvm_amd");
	assert_string_equal(autoload_kvm("model name\t: x\nflags\t\t: fpu lm vmx\nbugs\t: y\n"), "kvm_intel");
	assert_null(autoload_kvm("model name\t: svm\nflags\t\t: fpu vmxx\nbugs\t\t: vmx svm\n"));
	assert_null(autoload_kvm("Features\t: fp asimd\n"));
}

static void a_module_is_known_by_either_dash(void **state)
{
	(void)state;
	assert_true(autoload_is_module("kernel/fs/nls/nls_euc-jp.ko.xz: a.ko", "nls-euc_jp"));
	assert_true(autoload_is_module("tun.ko:", "tun"));
	assert_false(autoload_is_module("kernel/tun.ko:", "tu"));
	assert_false(autoload_is_module("kernel/xtun.ko:", "tun"));
	assert_false(autoload_is_module("kernel/a.ko: kernel/tun.ko", "tun"));
	assert_false(autoload_is_module("tun.ko", "tun"));
	assert_false(autoload_is_module(":", ""));
	assert_false(autoload_is_module("", ""));
}

static void expect_match(const char *line, const char *name, const char *module)
{
	auto_free char *copy = strdup(line);
	const char *found = autoload_match(copy, name);

	if (module)
		assert_string_equal(found, module);
	else
		assert_null(found);
}

static void an_alias_leads_to_its_module(void **state)
{
	(void)state;
	expect_match("alias char-major-10-200 tun", "char-major-10-200", "tun");
	expect_match("alias char-major-10-200 tun", "char-major-10-20", NULL);
	expect_match("alias pci:v00001AF4d*sv*[0-9]x mod", "pci:v00001AF4dXsvY7x", "mod");
	expect_match("alias fs-btrfs btrfs", "fs_btrfs", "btrfs");
	expect_match("# Aliases extracted from modules themselves.", "Aliases", NULL);
	expect_match("alias", "alias", NULL);
	expect_match("", "", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_is_a_name_flags_and_a_target),
		cmocka_unit_test(what_is_no_share_is_refused),
		cmocka_unit_test(the_home_is_told_among_others),
		cmocka_unit_test(what_is_mounted_is_read_from_a_table),
		cmocka_unit_test(what_is_missing_on_the_way_is_made),
		cmocka_unit_test(what_is_of_the_other_kind_is_named),
		cmocka_unit_test(links_mean_what_they_mean_in_the_machine),
		cmocka_unit_test(a_mount_s_unit_is_named_as_systemd_does),
		cmocka_unit_test(the_processor_decides_on_the_module_of_kvm),
		cmocka_unit_test(a_module_is_known_by_either_dash),
		cmocka_unit_test(an_alias_leads_to_its_module),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
