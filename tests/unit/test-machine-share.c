#include "test.h"
#include "folder.h"

#include "machine/share.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* A host in a folder: ROOT/home/u with what a home has, ROOT/link a second way to ROOT/home, annex's folders in data
 * and run, and things to share. */
struct host {
	char *root, *home;
	struct machine_paths paths;
	struct machine_settings settings;
};

static char *place(const struct host *host, const char *below)
{
	char *path = path_join(host->root, below);

	assert_non_null(path);
	return path;
}

static void make_folder(const struct host *host, const char *below)
{
	auto_free char *path = place(host, below);

	assert_int_equal(file_make_folders(path, 0700), 0);
}

static void make_file(const struct host *host, const char *below)
{
	auto_free char *path = place(host, below);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
}

static void make_link(const struct host *host, const char *below, const char *to)
{
	auto_free char *path = place(host, below);

	assert_int_equal(symlink(to, path), 0);
}

static int set_up(void **state)
{
	static const char *const folders[] = {"home/u/.ssh",  "home/u/web", "data/annex/machines/dev",
					      "run/annex",    "srv/x",      "modules",
					      "home/u/dot/gh"};
	struct host *host = calloc(1, sizeof(*host));
	auto_free char *data = NULL, *config = NULL, *runtime = NULL;

	assert_non_null(host);
	host->root = realpath(folder, NULL);
	for (size_t i = 0; i < COUNT_OF(folders); i++)
		make_folder(host, folders[i]);
	make_file(host, "home/u/file");
	make_link(host, "home/u/.config", "dot");
	make_link(host, "link", "home");
	host->home = place(host, "home/u");
	data = place(host, "data/annex");
	config = place(host, "etc/annex");
	runtime = place(host, "run/annex");
	assert_int_equal(machine_paths_make(&host->paths, data, config, runtime, "dev", NULL), 0);
	assert_int_equal(settings_default(&host->settings, NULL), 0);
	*state = host;
	return 0;
}

static int tear_down(void **state)
{
	struct host *host = *state;

	assert_int_equal(file_remove_tree(AT_FDCWD, host->root), 0);
	assert_int_equal(file_make_folders(host->root, 0700), 0);
	machine_paths_clear(&host->paths);
	settings_clear(&host->settings);
	free(host->root);
	free(host->home);
	free(host);
	return 0;
}

/* `format` is of what follows "key="; %s is the root. */
static void set(struct host *host, const char *key, const char *before, const char *after)
{
	auto_free char *pair = NULL;

	assert_true(asprintf(&pair, "%s=%s%s%s", key, before ? host->root : "", before ? before : "", after) > 0);
	assert_int_equal(settings_apply(&host->settings, pair, NULL), 0);
}

static void volume(struct host *host, const char *below, const char *rest)
{
	set(host, "volume", below, rest);
}

static void make(const struct host *host, struct machine_shares *ret)
{
	auto_error struct annex_error *err = NULL;

	if (machine_shares_make(ret, &host->paths, &host->settings, host->home, NULL, NULL, &err) < 0)
		assert_string_equal(annex_error_message(err), "");
}

static void refused(const struct host *host, enum annex_error_kind kind, const char *says, const char *hint)
{
	auto_machine_shares struct machine_shares shares = {0};
	auto_error struct annex_error *err = NULL;

	assert_int_equal(machine_shares_make(&shares, &host->paths, &host->settings, host->home, NULL, NULL, &err), -1);
	if (!strstr(annex_error_message(err), says))
		assert_string_equal(annex_error_message(err), says);
	assert_int_equal(annex_error_kind(err), kind);
	if (hint)
		assert_string_equal(annex_error_hint(err), hint);
	assert_int_equal(shares.count, 0);
}

static bool masks(const struct machine_share *share, const char *path)
{
	for (size_t i = 0; i < share->masks.count; i++) {
		if (strcmp(share->masks.items[i], path) == 0)
			return true;
	}
	return false;
}

static void wire_is(const struct machine_share *share, const char *name_and_flags, const char *target)
{
	auto_free char *wire = machine_share_wire(share), *wanted = NULL;

	assert_true(asprintf(&wanted, "%s %s", name_and_flags, target) > 0);
	assert_string_equal(wire, wanted);
}

static void what_others_lie_in_comes_first(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	auto_free char *modules = place(host, "modules/6.1"), *inside = place(host, "home/u/in/x");
	auto_free char *deep = NULL;

	make_folder(host, "modules/6.1");
	assert_true(asprintf(&deep, ":%s:ro,cache=none", inside) > 0);
	volume(host, "/srv/x", deep);
	volume(host, "/home/u/file", ":/etc/one/two/three/four/five/six/file");
	volume(host, "/srv", ":/srv");
	assert_int_equal(machine_shares_make(&shares, &host->paths, &host->settings, host->home, modules, "6.1", NULL),
			 0);
	assert_int_equal(shares.count, 5);
	wire_is(&shares.items[0], "volume-2 d", "/srv");
	wire_is(&shares.items[1], "modules dr", "/lib/modules/6.1");
	wire_is(&shares.items[2], "home dh", host->home);
	wire_is(&shares.items[3], "volume-3 dr", inside);
	wire_is(&shares.items[4], "volume-1 f", "/etc/one/two/three/four/five/six/file");
	assert_string_equal(shares.items[2].source, host->home);
	assert_string_equal(shares.items[3].cache, "none");
	assert_true(shares.items[0].kept && shares.items[2].kept);
	assert_ptr_equal(machine_shares_find(&shares, inside), &shares.items[3]);
	assert_null(machine_shares_find(&shares, "/srv/x"));
}

static void the_home_lacks_what_is_masked_and_annexs_own(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};

	set(host, "mask", NULL, "web/keys");
	set(host, "mask", NULL, "-.npmrc");
	make(host, &shares);
	assert_int_equal(shares.count, 1);
	assert_true(masks(&shares.items[0], ".ssh") && masks(&shares.items[0], "web/keys"));
	assert_false(masks(&shares.items[0], ".npmrc"));
	assert_true(masks(&shares.items[0], ".local/share/annex") && masks(&shares.items[0], ".config/annex"));
	/* .config is a link to dot. */
	assert_true(masks(&shares.items[0], ".config/gh") && masks(&shares.items[0], "dot/gh"));
	assert_true(masks(&shares.items[0], "dot/annex"));
	assert_false(masks(&shares.items[0], "srv") || masks(&shares.items[0], "proc"));
}

static void every_share_around_a_secret_lacks_it(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	const struct machine_share *share;

	set(host, "home-mount", NULL, "none");
	volume(host, "", ":/all");
	set(host, "volume", NULL, "/:/root-of-host:ro");
	volume(host, "/home/u/dot", ":/dot");
	volume(host, "/home", ":/homes");
	make(host, &shares);
	assert_int_equal(shares.count, 4);
	share = machine_shares_find(&shares, "/all");
	assert_true(masks(share, "home/u/.ssh") && masks(share, "home/u/.config/gh") && masks(share, "home/u/dot/gh"));
	assert_true(masks(share, "data/annex") && masks(share, "run/annex") && masks(share, "etc/annex"));
	share = machine_shares_find(&shares, "/root-of-host");
	assert_true(masks(share, "proc") && masks(share, "sys") && masks(share, "dev"));
	assert_true(masks(share, share->masks.items[0]) && share->read_only);
	{
		auto_free char *ssh = place(host, "home/u/.ssh");

		assert_true(masks(share, ssh + 1));
	}
	share = machine_shares_find(&shares, "/dot");
	assert_true(masks(share, "gh") && masks(share, "annex"));
	share = machine_shares_find(&shares, "/homes");
	assert_true(masks(share, "u/.ssh"));
}

static void a_home_reached_by_a_link_is_masked_the_same(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	auto_free char *real = host->home;

	host->home = place(host, "link/u");
	make(host, &shares);
	assert_int_equal(shares.count, 1);
	assert_string_equal(shares.items[0].source, real);
	wire_is(&shares.items[0], "home dh", host->home);
	assert_true(masks(&shares.items[0], ".ssh") && masks(&shares.items[0], ".config/gh"));
}

static void a_secret_that_the_user_shares_is_shared(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};

	make_folder(host, "home/u/.ssh/more");
	volume(host, "/home/u/.ssh", ":/keys");
	volume(host, "/home/u/.ssh/more", ":/more");
	make(host, &shares);
	assert_int_equal(machine_shares_find(&shares, "/keys")->masks.count, 0);
	assert_int_equal(machine_shares_find(&shares, "/more")->masks.count, 0);
}

static void what_is_annexs_own_or_the_kernels_is_never_shared(void **state)
{
	static const char *const own[] = {"/data/annex", "/data/annex/machines", "/run/annex"};
	struct host *host = *state;

	for (size_t i = 0; i < COUNT_OF(own); i++) {
		volume(host, own[i], ":/x");
		refused(host, ANNEX_ERROR_USAGE, "no machine gets", "annex set -n dev volume=-/x");
	}
	set(host, "volume", NULL, "/proc/sys:/x");
	refused(host, ANNEX_ERROR_USAGE, "no machine gets what is in /proc", NULL);
	set(host, "volume", NULL, "/sys:/x");
	refused(host, ANNEX_ERROR_USAGE, "no machine gets what is in /sys", NULL);
}

static void what_can_not_be_shared_is_named_with_the_way_out(void **state)
{
	struct host *host = *state;
	auto_free char *gone = NULL, *pipe = place(host, "pipe");

	volume(host, "/gone", ":/x:ro");
	assert_true(asprintf(&gone, "cannot share %s/gone: No such file or directory", host->root) > 0);
	refused(host, ANNEX_ERROR_NOT_FOUND, gone, "annex set -n dev volume=-/x");
	volume(host, "/home/u/file/below", ":/x");
	refused(host, ANNEX_ERROR_NOT_FOUND, "Not a directory", NULL);
	set(host, "volume", NULL, "/dev/null:/x");
	refused(host, ANNEX_ERROR_UNSUPPORTED, "neither a folder nor a file", "annex set -n dev volume=-/x");
	assert_int_equal(mkfifo(pipe, 0600), 0);
	volume(host, "/pipe", ":/x");
	refused(host, ANNEX_ERROR_UNSUPPORTED, "neither a folder nor a file", NULL);
	make_folder(host, "not\xff/x");
	make_link(host, "utf8", "not\xff");
	volume(host, "/utf8/x", ":/x");
	refused(host, ANNEX_ERROR_UNSUPPORTED, "is not UTF-8", NULL);
	make_folder(host, "1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3");
	make_link(host, "home/u/.aws", "../../1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3");
	volume(host, "", ":/x");
	refused(host, ANNEX_ERROR_USAGE, "lies too deep", NULL);
}

/* What a machine can do in a folder that it has, before the next start. */
static void a_link_in_the_place_of_a_volume_is_not_followed(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	auto_error struct annex_error *err = NULL;
	auto_free char *work = place(host, "home/u/web"), *away = place(host, "home/u/away"), *says = NULL;
	int fd = -1;

	volume(host, "/home/u/web", ":/web");
	make(host, &shares);
	assert_int_equal(machine_share_open(&fd, machine_shares_find(&shares, "/web"), NULL), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(rename(work, away), 0);
	make_link(host, "home/u/web", ".ssh");
	assert_int_equal(machine_share_open(&fd, machine_shares_find(&shares, "/web"), &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	assert_true(asprintf(&says, "cannot share %s: it is a link to %s/.ssh now", work, host->home) > 0);
	assert_string_equal(annex_error_message(err), says);
	refused(host, ANNEX_ERROR_USAGE, says, "annex set -n dev volume=-/web");
	make_folder(host, "home/u/away/in");
	volume(host, "/home/u/web/in", ":/web");
	assert_int_equal(unlink(work), 0);
	make_link(host, "home/u/web", "away");
	refused(host, ANNEX_ERROR_USAGE, "away/in now", "annex set -n dev volume=-/web");
}

static int make_with_modules(const struct host *host, const char *below, struct machine_shares *ret,
			     struct annex_error **err)
{
	auto_free char *modules = place(host, below);

	return machine_shares_make(ret, &host->paths, &host->settings, host->home, modules, "6.1", err);
}

static void modules_are_those_of_the_kernel(void **state)
{
	static const char *const wrong[] = {"home/u/.ssh", "modules/6.1", "home/u/file", "data/annex/6.1"};
	struct host *host = *state;
	auto_machine_shares struct machine_shares ours = {0}, beside = {0};
	auto_error struct annex_error *gone = NULL;

	make_folder(host, "data/annex/kernels/6.1/lib/modules/6.1");
	make_folder(host, "data/annex/6.1");
	make_folder(host, "home/u/6.1");
	make_link(host, "modules/6.1", "../home/u/.ssh");
	assert_int_equal(make_with_modules(host, "data/annex/kernels/6.1/lib/modules/6.1", &ours, NULL), 0);
	wire_is(&ours.items[0], "modules dr", "/lib/modules/6.1");
	assert_int_equal(make_with_modules(host, "link/u/6.1", &beside, NULL), 0);
	assert_int_equal(beside.count, 2);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_machine_shares struct machine_shares shares = {0};
		auto_error struct annex_error *err = NULL;

		assert_int_equal(make_with_modules(host, wrong[i], &shares, &err), -1);
		assert_int_not_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
		assert_string_equal(annex_error_hint(err), "annex kernel list");
	}
	assert_int_equal(make_with_modules(host, "gone", &beside, &gone), -1);
	assert_int_equal(annex_error_kind(gone), ANNEX_ERROR_NOT_FOUND);
}

static void two_shares_can_not_be_at_one_place(void **state)
{
	struct host *host = *state;
	auto_free char *target = NULL;

	assert_true(asprintf(&target, ":%s", host->home) > 0);
	volume(host, "/srv", target);
	refused(host, ANNEX_ERROR_USAGE, "is shared there", NULL);
	set(host, "home-mount", NULL, "none");
	{
		auto_machine_shares struct machine_shares shares = {0};

		make(host, &shares);
		wire_is(&shares.items[0], "volume-1 dh", host->home);
	}
}

static void nothing_is_put_where_the_machine_can_not_have_a_place(void **state)
{
	struct host *host = *state;
	auto_free char *target = NULL;

	assert_true(asprintf(&target, ":%s/.SSH/x", host->home) > 0);
	volume(host, "/srv", target);
	refused(host, ANNEX_ERROR_USAGE, ".ssh is masked in", "choose another place, or annex set -n dev mask=-.ssh");
	set(host, "mask", NULL, "-.ssh");
	{
		auto_machine_shares struct machine_shares shares = {0};

		make(host, &shares);
		assert_int_equal(shares.count, 2);
	}
	volume(host, "/home", ":/homes");
	volume(host, "/srv", ":/homes/u/.aws");
	refused(host, ANNEX_ERROR_USAGE, "u/.aws is masked in /homes", "choose another place in the machine");
	set(host, "volume", NULL, "-/homes");
	volume(host, "/home/u/file", ":/f");
	volume(host, "/srv", ":/f/g");
	refused(host, ANNEX_ERROR_USAGE, "/f is a file", NULL);
}

static void the_home_is_shared_as_it_is_set(void **state)
{
	struct host *host = *state;

	set(host, "home-mount", NULL, "ro");
	set(host, "home-target", NULL, "/host//home/");
	{
		auto_machine_shares struct machine_shares shares = {0};

		make(host, &shares);
		wire_is(&shares.items[0], "home dr", "/host/home");
	}
	set(host, "home-target", NULL, "");
	{
		auto_machine_shares struct machine_shares shares = {0};

		make(host, &shares);
		wire_is(&shares.items[0], "home drh", host->home);
	}
	set(host, "home-mount", NULL, "none");
	{
		auto_machine_shares struct machine_shares shares = {0};

		make(host, &shares);
		assert_int_equal(shares.count, 0);
	}
}

static void a_home_that_is_none_of_the_users_own_is_left_out(void **state)
{
	static const char *const none[] = {"/", "/nonexistent", "/dev/null", "/proc", "/tmp"};
	struct host *host = *state;

	for (size_t i = 0; i < COUNT_OF(none); i++) {
		auto_machine_shares struct machine_shares shares = {0};

		free(host->home);
		host->home = strdup(none[i]);
		make(host, &shares);
		assert_int_equal(shares.count, 0);
	}
	make_link(host, "slash", "/");
	for (const char *const *below = (const char *const[]){"slash", "home/u/file", NULL}; *below; below++) {
		auto_machine_shares struct machine_shares shares = {0};

		free(host->home);
		host->home = place(host, *below);
		make(host, &shares);
		assert_int_equal(shares.count, 0);
	}
	if (getuid() != 0) {
		auto_machine_shares struct machine_shares shares = {0};

		free(host->home);
		host->home = strdup("/usr/bin");
		make(host, &shares);
		assert_int_equal(shares.count, 0);
	}
	free(host->home);
	host->home = strdup("/nonexistent");
	set(host, "home-target", NULL, "/h");
	refused(host, ANNEX_ERROR_NOT_FOUND, "cannot share /nonexistent", "annex set -n dev home-mount=none");
	free(host->home);
	host->home = strdup("/");
	refused(host, ANNEX_ERROR_UNSUPPORTED, "as the home", "annex set -n dev home-mount=none");
}

static int add(const struct host *host, struct machine_shares *shares, const char *below, const char *rest,
	       const struct machine_share **ret, struct annex_error **err)
{
	auto_free char *text = NULL;

	assert_true(asprintf(&text, "%s%s%s", host->root, below, rest) > 0);
	return machine_shares_add(shares, ret, &host->paths, &host->settings, host->home, text, false, err);
}

static void one_more_is_added_and_taken_away(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	const struct machine_share *share = NULL;
	auto_error struct annex_error *taken = NULL, *above = NULL, *own = NULL, *gone = NULL;

	make(host, &shares);
	assert_int_equal(add(host, &shares, "", ":/a/b:ro", &share, NULL), 0);
	wire_is(share, "mount-1 dr", "/a/b");
	assert_true(masks(share, "home/u/.ssh") && !share->kept);
	assert_int_equal(add(host, &shares, "/srv", ":/a/b", &share, &taken), -1);
	assert_int_equal(annex_error_kind(taken), ANNEX_ERROR_EXISTS);
	assert_int_equal(add(host, &shares, "/srv", ":/a", &share, &above), -1);
	assert_int_equal(annex_error_kind(above), ANNEX_ERROR_EXISTS);
	assert_string_equal(annex_error_hint(above), "annex umount /a/b");
	assert_int_equal(add(host, &shares, "/data/annex", ":/own", &share, &own), -1);
	assert_int_equal(annex_error_kind(own), ANNEX_ERROR_USAGE);
	assert_int_equal(add(host, &shares, "/home/u/file", ":/f", &share, NULL), 0);
	wire_is(share, "mount-2 f", "/f");
	assert_int_equal(shares.count, 3);
	assert_int_equal(machine_shares_remove(&shares, "/a/b", NULL), 0);
	assert_int_equal(machine_shares_remove(&shares, "/a/b", &gone), -1);
	assert_int_equal(annex_error_kind(gone), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(shares.count, 2);
	assert_non_null(machine_shares_find(&shares, "/f"));
	assert_non_null(machine_shares_find(&shares, host->home));
	assert_int_equal(add(host, &shares, "/srv", ":/a", &share, NULL), 0);
	assert_string_equal(share->name, "mount-3");
}

static bool keep(const struct host *host, struct machine_shares *shares, const char *below, const char *rest)
{
	auto_free char *text = NULL;

	assert_true(asprintf(&text, "%s%s%s", host->root, below, rest) > 0);
	return machine_shares_keep(shares, text);
}

static void one_that_is_there_is_kept_from_then_on(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	const struct machine_share *share = NULL;

	make(host, &shares);
	assert_int_equal(add(host, &shares, "/srv", ":/a:ro", &share, NULL), 0);
	assert_false(keep(host, &shares, "/srv", ":/a"));
	assert_false(keep(host, &shares, "/srv", ":/a:ro,cache=none"));
	assert_false(keep(host, &shares, "/data", ":/a:ro"));
	assert_false(keep(host, &shares, "/srv", ":/b:ro"));
	assert_false(share->kept);
	assert_true(keep(host, &shares, "/srv", ":/a:ro"));
	assert_true(share->kept);
	assert_int_equal(shares.count, 2);
}

static void one_that_is_set_is_kept_when_it_is_there_again(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	const struct machine_share *share = NULL;

	volume(host, "/srv", ":/a:ro");
	make(host, &shares);
	assert_int_equal(machine_shares_remove(&shares, "/a", NULL), 0);
	assert_int_equal(add(host, &shares, "/srv", ":/a", &share, NULL), 0);
	assert_false(share->kept);
	assert_int_equal(machine_shares_remove(&shares, "/a", NULL), 0);
	assert_int_equal(add(host, &shares, "/srv", ":/a:ro", &share, NULL), 0);
	assert_true(share->kept);
}

static void maps(const struct host *host, const json_t *list, const char *below, const char *wanted)
{
	auto_free char *path = path_join(host->root, below), *found = machine_shares_map(list, path);

	if (wanted)
		assert_string_equal(found ? found : "nowhere", wanted);
	else
		assert_null(found);
}

static void a_folder_of_the_host_is_found_in_the_machine(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	auto_json json_t *list = NULL, *again = NULL;
	auto_free char *text = NULL, *nowhere = NULL;

	make_folder(host, "home/u/web/over");
	set(host, "home-target", NULL, "/h");
	volume(host, "/srv", ":/a/srv");
	volume(host, "/srv/x", ":/x");
	volume(host, "/data", ":/h/web/over");
	volume(host, "/home/u/file", ":/etc/file");
	volume(host, "/home/u/.ssh", ":/keys");
	make(host, &shares);
	list = machine_shares_encode(&shares);
	text = json_text(list, false);
	assert_int_equal(json_parse(&again, text, strlen(text), "shares", NULL), 0);
	assert_int_equal(json_array_size(again), 6);
	maps(host, again, "home/u", "/h");
	maps(host, again, "home/u/web/a b", "/h/web/a b");
	maps(host, again, "home/user", NULL);
	maps(host, again, "home", NULL);
	maps(host, again, "srv/y", "/a/srv/y");
	maps(host, again, "srv/x", "/x");
	maps(host, again, "srv/x/y", "/x/y");
	maps(host, again, "home/u/web/over/y", NULL);
	maps(host, again, "home/u/web/overt", "/h/web/overt");
	maps(host, again, "data/z", "/h/web/over/z");
	maps(host, again, "data/annex/machines", NULL);
	maps(host, again, "home/u/.ssh/k", "/keys/k");
	maps(host, again, "home/u/.GnuPG/k", NULL);
	maps(host, again, "home/u/.gnupg2", "/h/.gnupg2");
	maps(host, again, "home/u/file", "/h/file");
	nowhere = machine_shares_map(again, "/");
	assert_null(nowhere);
}

static void a_folder_that_has_its_own_path_in_the_machine_is_found_there(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	auto_json json_t *list = NULL;
	auto_free char *over = place(host, "home/u/web/over"), *under = place(host, "home/u/web/under");

	make_folder(host, "home/u/web/over");
	volume(host, "/home/u/web", ":/web");
	set(host, "volume", "/data:", over);
	make(host, &shares);
	list = machine_shares_encode(&shares);
	maps(host, list, "home/u/web/under", under);
	maps(host, list, "home/u/web/over", "/web/over");
}

static void the_list_says_all_of_a_share(void **state)
{
	struct host *host = *state;
	auto_machine_shares struct machine_shares shares = {0};
	auto_json json_t *list = NULL, *wanted = NULL;

	set(host, "home-mount", NULL, "none");
	volume(host, "/home/u/file", ":/f:ro,cache=always");
	volume(host, "/data", ":/x/data");
	make(host, &shares);
	list = machine_shares_encode(&shares);
	wanted = json_pack("[{ss, ss+, ss, ss, sb, ss, s[], sb}, {ss, ss+, ss, ss, sb, ss, s[s], sb}]", "name",
			   "volume-1", "source", host->home, "/file", "target", "/f", "type", "file", "readOnly", 1,
			   "cache", "always", "masks", "kept", 1, "name", "volume-2", "source", host->root, "/data",
			   "target", "/x/data", "type", "folder", "readOnly", 0, "cache", "auto", "masks", "annex",
			   "kept", 1);
	assert_non_null(wanted);
	assert_true(json_equal(list, wanted));
}

/* Not in /tmp, where no machine has a home. */
static int folder_set_up_outside(void **state)
{
	(void)state;
	strcpy(folder, "/var/tmp/annex-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

#define ON_A_HOST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_HOST(what_others_lie_in_comes_first),
		ON_A_HOST(the_home_lacks_what_is_masked_and_annexs_own),
		ON_A_HOST(every_share_around_a_secret_lacks_it),
		ON_A_HOST(a_home_reached_by_a_link_is_masked_the_same),
		ON_A_HOST(a_secret_that_the_user_shares_is_shared),
		ON_A_HOST(what_is_annexs_own_or_the_kernels_is_never_shared),
		ON_A_HOST(what_can_not_be_shared_is_named_with_the_way_out),
		ON_A_HOST(a_link_in_the_place_of_a_volume_is_not_followed),
		ON_A_HOST(modules_are_those_of_the_kernel),
		ON_A_HOST(two_shares_can_not_be_at_one_place),
		ON_A_HOST(nothing_is_put_where_the_machine_can_not_have_a_place),
		ON_A_HOST(the_home_is_shared_as_it_is_set),
		ON_A_HOST(a_home_that_is_none_of_the_users_own_is_left_out),
		ON_A_HOST(one_more_is_added_and_taken_away),
		ON_A_HOST(one_that_is_there_is_kept_from_then_on),
		ON_A_HOST(one_that_is_set_is_kept_when_it_is_there_again),
		ON_A_HOST(a_folder_of_the_host_is_found_in_the_machine),
		ON_A_HOST(a_folder_that_has_its_own_path_in_the_machine_is_found_there),
		ON_A_HOST(the_list_says_all_of_a_share),
	};

	return cmocka_run_group_tests(tests, folder_set_up_outside, folder_tear_down);
}
