#include "fuse-guest.h"

#include <linux/fs.h>
#include <time.h>

static const char *const paths[] = {".ssh", ".config/gh", ".config/deep/er/secret", ".netrc", NULL};
static const struct share_options masked = {.name = "files", .masks = paths};

static void fill(const struct guest *guest)
{
	static const char *const folders[] = {".ssh", ".config", ".config/gh", ".config/other", "plain"};

	for (size_t i = 0; i < COUNT_OF(folders); i++)
		assert_int_equal(mkdirat(guest->host, folders[i], 0755), 0);
	host_write(guest, ".ssh/id", "secret");
	host_write(guest, ".netrc", "secret");
	host_write(guest, ".config/gh/token", "secret");
	host_write(guest, "plain/f", "plain");
}

static int set_up(void **state)
{
	struct guest *guest = guest_new(false, &masked);

	fill(guest);
	*state = guest;
	return 0;
}

/* What is looked at anew once a second is looked at now. */
static void let_a_second_pass(void)
{
	struct timespec wait = {.tv_sec = 1, .tv_nsec = 50000000};

	nanosleep(&wait, NULL);
}

static void expect_hidden(struct guest *guest, uint64_t folder, const char *name)
{
	struct fuse_mknod_in mknod = {.mode = S_IFREG | 0644};
	uint64_t fh = 0, plain = guest_walk(guest, "plain/f");

	assert_int_equal(guest_lookup(guest, folder, name, NULL), -ENOENT);
	assert_int_equal(guest_mkdir(guest, folder, name, 0755, NULL), -EACCES);
	assert_int_equal(guest_create(guest, folder, name, O_RDWR, 0644, NULL, &fh), -EACCES);
	assert_int_equal(guest_ask(guest, FUSE_MKNOD, folder, STRUCT(mknod), NAME(name), NOTHING), -EACCES);
	assert_int_equal(guest_ask(guest, FUSE_SYMLINK, folder, NOTHING, NAME(name), NAME("x")), -EACCES);
	assert_int_equal(guest_remove(guest, folder, name, false), -ENOENT);
	assert_int_equal(guest_remove(guest, folder, name, true), -ENOENT);
	assert_int_equal(guest_rename(guest, folder, name, guest->top, "found", 0), -ENOENT);
	assert_int_equal(guest_rename(guest, guest->top, "plain", folder, name, 0), -EACCES);
	assert_int_equal(guest_rename(guest, guest->top, "plain", folder, name, RENAME_EXCHANGE), -EACCES);
	assert_int_equal(guest_rename(guest, folder, name, guest->top, "plain", RENAME_EXCHANGE), -ENOENT);
	assert_int_equal(guest_link(guest, plain, folder, name), -EACCES);
}

static void what_is_masked_does_not_exist_by_any_operation(void **state)
{
	struct guest *guest = *state;
	uint64_t config = guest_walk(guest, ".config");

	expect_hidden(guest, guest->top, ".ssh");
	expect_hidden(guest, guest->top, ".netrc");
	expect_hidden(guest, config, "gh");
	expect_hidden(guest, guest->top, ".SSH");
	host_expect(guest, ".ssh/id", "secret");
	host_expect(guest, ".config/gh/token", "secret");
	host_expect(guest, "plain/f", "plain");
	/* The same names elsewhere are names. */
	assert_int_equal(guest_mkdir(guest, config, ".ssh", 0755, NULL), 0);
	assert_int_equal(guest_mkdir(guest, guest->top, "gh", 0755, NULL), 0);
}

static void what_does_not_exist_yet_is_masked_too(void **state)
{
	struct guest *guest = *state;
	uint64_t config = guest_walk(guest, ".config"), deep = 0, er = 0;

	assert_int_equal(guest_mkdir(guest, config, "deep", 0755, &deep), 0);
	assert_int_equal(guest_mkdir(guest, deep, "er", 0755, &er), 0);
	expect_hidden(guest, er, "secret");
	host_write(guest, ".config/deep/er/secret", "x");
	expect_hidden(guest, er, "secret");
}

static void what_is_masked_is_not_listed(void **state)
{
	struct guest *guest = *state;
	char names[512];
	uint64_t config = guest_walk(guest, ".config"), fh = 0;

	for (int plus = 0; plus < 2; plus++) {
		names[0] = '/';
		names[1] = '\0';
		assert_int_equal(guest_open_folder(guest, guest->top, &fh), 0);
		guest_list(guest, guest->top, fh, 0, 65536, plus, names);
		assert_null(strstr(names, "/.ssh/"));
		assert_null(strstr(names, "/.netrc/"));
		assert_non_null(strstr(names, "/.config/"));
		assert_non_null(strstr(names, "/plain/"));
		names[1] = '\0';
		assert_int_equal(guest_open_folder(guest, config, &fh), 0);
		guest_list(guest, config, fh, 0, 65536, plus, names);
		assert_null(strstr(names, "/gh/"));
		assert_non_null(strstr(names, "/other/"));
	}
}

static void folders_on_the_way_stay_where_they_are(void **state)
{
	struct guest *guest = *state;
	uint64_t config = guest_walk(guest, ".config");

	assert_int_equal(guest_rename(guest, guest->top, ".config", guest->top, "open", 0), -EBUSY);
	assert_int_equal(guest_rename(guest, guest->top, ".config", guest->top, "plain", RENAME_EXCHANGE), -EBUSY);
	assert_int_equal(guest_rename(guest, guest->top, "plain", guest->top, ".config", RENAME_EXCHANGE), -EBUSY);
	assert_int_equal(guest_rename(guest, guest->top, "plain", guest->top, ".config", 0), -EBUSY);
	assert_int_equal(guest_remove(guest, guest->top, ".config", true), -ENOTEMPTY);
	assert_int_equal(guest_rename(guest, config, "other", guest->top, "moved", 0), 0);
	assert_true(host_has(guest, "moved"));
}

static int symlink_made(struct guest *guest, uint64_t folder, const char *name)
{
	return guest_ask(guest, FUSE_SYMLINK, folder, NOTHING, NAME(name), NAME("../plain"));
}

/* What the host wrote over it would be in a folder that the guest sees. */
static void no_link_leads_the_host_away_from_a_mask(void **state)
{
	struct guest *guest = *state;
	uint64_t config = guest_walk(guest, ".config"), link = 0;

	assert_int_equal(symlink_made(guest, config, "deep"), -EBUSY);
	assert_int_equal(symlink_made(guest, config, "DEEP"), -EBUSY);
	assert_int_equal(symlink_made(guest, config, "shallow"), 0);
	assert_int_equal(guest_lookup(guest, config, "shallow", &link), 0);
	assert_int_equal(guest_link(guest, link, config, "deep"), -EBUSY);
	assert_int_equal(guest_rename(guest, config, "shallow", config, "deep", 0), -EBUSY);
	assert_false(host_has(guest, ".config/deep"));
}

static void other_ways_to_it_are_closed(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0;
	char names[512] = "/";

	/* Another name of a masked file, and the folder where a link on a masked path leads. */
	assert_int_equal(linkat(guest->host, ".netrc", guest->host, "alias", 0), 0);
	assert_int_equal(mkdirat(guest->host, "dotfiles", 0755), 0);
	host_write(guest, "dotfiles/key", "secret");
	assert_int_equal(renameat(guest->host, ".ssh/id", guest->host, "plain/id"), 0);
	assert_int_equal(unlinkat(guest->host, ".ssh", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("dotfiles", guest->host, ".ssh"), 0);
	let_a_second_pass();
	assert_int_equal(guest_lookup(guest, guest->top, "alias", NULL), -ENOENT);
	assert_int_equal(guest_lookup(guest, guest->top, "dotfiles", NULL), -ENOENT);
	assert_int_equal(guest_rename(guest, guest->top, "dotfiles", guest->top, "x", 0), -ENOENT);
	assert_int_equal(guest_open_folder(guest, guest->top, &node), 0);
	guest_list(guest, guest->top, node, 0, 65536, false, names);
	assert_null(strstr(names, "/alias/"));
	assert_null(strstr(names, "/dotfiles/"));
	/* A folder that the host moves away stays hidden, and what is on the way to it has its mask. */
	assert_int_equal(renameat(guest->host, ".config/gh", guest->host, "plain/gh"), 0);
	assert_int_equal(guest_lookup(guest, guest_walk(guest, "plain"), "gh", NULL), -ENOENT);
}

static void a_folder_on_the_way_keeps_its_mask_when_the_host_moves_it(void **state)
{
	struct guest *guest = *state;
	uint64_t config = guest_walk(guest, ".config"), moved = 0;

	assert_int_equal(renameat(guest->host, ".config", guest->host, "elsewhere"), 0);
	assert_int_equal(guest_lookup(guest, guest->top, "elsewhere", &moved), 0);
	assert_true(moved == config);
	expect_hidden(guest, moved, "gh");
}

static void what_the_guest_knew_is_stale_once_it_is_masked(void **state)
{
	struct guest *guest = *state;
	struct fuse_getattr_in in = {0};
	uint64_t plain = guest_walk(guest, "plain"), fh = 0;

	assert_int_equal(guest_open_folder(guest, plain, &fh), 0);
	assert_int_equal(renameat2(guest->host, "plain", guest->host, ".ssh", RENAME_EXCHANGE), 0);
	let_a_second_pass();
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, plain, STRUCT(in), NOTHING, NOTHING), -ESTALE);
	assert_int_equal(guest_lookup(guest, plain, "f", NULL), -ESTALE);
	guest_release(guest, plain, fh);
}

/* Whoever is quick sees what is new there, for a moment; what it knows then is of no use later. */
static void what_lies_in_what_became_masked_is_stale_too(void **state)
{
	struct guest *guest = *state;
	struct fuse_getattr_in in = {0};
	struct fuse_copy_file_range_in copy = {.len = 1};
	uint64_t plain = guest_walk(guest, "plain"), file = guest_walk(guest, "plain/f"), from = 0, fh = 0, out = 0;

	host_write(guest, "other", "x");
	from = guest_walk(guest, "other");
	assert_int_equal(guest_open(guest, file, O_RDWR, &fh), 0);
	assert_int_equal(guest_open(guest, from, O_RDONLY, &out), 0);
	assert_int_equal(renameat2(guest->host, "plain", guest->host, ".ssh", RENAME_EXCHANGE), 0);
	let_a_second_pass();
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, file, STRUCT(in), NOTHING, NOTHING), -ESTALE);
	assert_int_equal(guest_read(guest, file, fh, 0, 10), -ESTALE);
	/* Nor as the second object of a request. */
	copy.fh_in = out;
	copy.nodeid_out = file;
	copy.fh_out = fh;
	assert_int_equal(guest_ask(guest, FUSE_COPY_FILE_RANGE, from, STRUCT(copy), NOTHING, NOTHING), -ESTALE);
	assert_int_equal(guest_link(guest, file, guest->top, "copy"), -ESTALE);
	assert_int_equal(guest_rename(guest, guest->top, "other", plain, "moved", 0), -ESTALE);
	assert_false(host_has(guest, "copy"));
	guest_release(guest, file, fh);
}

static void masks_hold_in_a_folder_where_a_link_on_the_way_leads(void **state)
{
	struct guest *guest = *state;
	uint64_t folder = 0;

	assert_int_equal(mkdirat(guest->host, "dotfiles", 0755), 0);
	assert_int_equal(mkdirat(guest->host, "dotfiles/er", 0755), 0);
	assert_int_equal(symlinkat("../dotfiles", guest->host, ".config/deep"), 0);
	folder = guest_walk(guest, "dotfiles/er");
	let_a_second_pass();
	expect_hidden(guest, folder, "secret");
	/* Another one in its place would have no mask, until it is looked at. */
	assert_int_equal(guest_rename(guest, guest->top, "dotfiles", guest->top, "x", 0), -EBUSY);
	assert_int_equal(guest_rename(guest, guest->top, "plain", guest->top, "dotfiles", RENAME_EXCHANGE), -EBUSY);
	assert_int_equal(guest_remove(guest, guest->top, "dotfiles", true), -EBUSY);
}

static void masks_are_paths_below_the_share(void **state)
{
	static const char *const wrong[] = {"", "/", "/.ssh", "a/", "a//b", "..", "a/../b", ".", "a/."};
	struct guest *guest = *state;

	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		const char *const masks[] = {wrong[i], NULL};
		struct share_options options = {.name = "wrong", .masks = masks};
		auto_error struct annex_error *err = NULL;

		assert_int_equal(guest_share(guest, guest->host, &options, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	}
}

#define MASKED(test) cmocka_unit_test_setup_teardown(test, set_up, guest_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MASKED(what_is_masked_does_not_exist_by_any_operation),
		MASKED(what_does_not_exist_yet_is_masked_too),
		MASKED(what_is_masked_is_not_listed),
		MASKED(folders_on_the_way_stay_where_they_are),
		MASKED(no_link_leads_the_host_away_from_a_mask),
		MASKED(other_ways_to_it_are_closed),
		MASKED(a_folder_on_the_way_keeps_its_mask_when_the_host_moves_it),
		MASKED(what_the_guest_knew_is_stale_once_it_is_masked),
		MASKED(what_lies_in_what_became_masked_is_stale_too),
		MASKED(masks_hold_in_a_folder_where_a_link_on_the_way_leads),
		MASKED(masks_are_paths_below_the_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
