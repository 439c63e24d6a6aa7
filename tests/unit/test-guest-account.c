/* The user's account on an image's disk, in a folder that stands for it. */
#include "image-root.h"

#include "guest/account.h"
#include "guest/enroll.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define OURS "# By annex: its user needs no password. To change that, keep this line and remove the next one.\n"
#define KEPT                                                                                                  \
	"SSH_AUTH_SOCK http_proxy https_proxy ftp_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY " \
	"ALL_PROXY NO_PROXY"
#define SUDO_RULE OURS "#1000 ALL=(ALL:ALL) NOPASSWD: ALL\nDefaults:#1000 env_keep += \"" KEPT "\"\n"

static struct account ada = {
	.name = "ada", .uid = 1000, .gid = 1001, .group = "ada", .home = "/home/ada", .shell = "/bin/none"};
static struct account shared_ada = {.name = "ada",
				    .uid = 1000,
				    .gid = 1001,
				    .group = "ada",
				    .home = "/home/ada",
				    .home_is_shared = true,
				    .shell = "/bin/none"};

static int ensure(void *data, struct text *out, struct annex_error **err)
{
	static const char *const rests[] = {"done", "check", "run"};
	auto_account_user struct account_user user = {0};

	if (account_ensure(&user, data, err) < 0)
		return -1;
	text_printf(out, "%s %s %s", rests[user.rest], user.name, user.home);
	return 0;
}

static int settle(void *data, struct text *out, struct annex_error **err)
{
	(void)out;
	return file_make_folders("/var/lib/annex", 0755) < 0 ? -1 : account_settle(data, false, err);
}

static int settle_by_script(void *data, struct text *out, struct annex_error **err)
{
	(void)out;
	return file_make_folders("/var/lib/annex", 0755) < 0 ? -1 : account_settle(data, true, err);
}

static void expect_ensured(const struct account *account, const char *wanted)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *answer = NULL;
	struct account copy = *account;

	if (inside_run(&answer, root, ensure, &copy, &err) < 0)
		assert_string_equal(annex_error_message(err), wanted);
	else
		assert_string_equal(answer, wanted);
}

static bool exists(const char *name)
{
	char path[256];
	struct stat st;

	in_root(path, sizeof(path), name);
	return lstat(path, &st) == 0;
}

static void link_to(const char *target, const char *name)
{
	char path[256];

	in_root(path, sizeof(path), name);
	assert_int_equal(symlink(target, path), 0);
}

static void give_to(const char *name, uid_t uid, gid_t gid)
{
	char path[256];

	in_root(path, sizeof(path), name);
	assert_int_equal(lchown(path, uid, gid), 0);
}

static void drop(const char *name)
{
	char path[256];

	in_root(path, sizeof(path), name);
	assert_int_equal(file_remove_tree(AT_FDCWD, path), 0);
}

static void an_account_is_added_once_and_files_keep_their_modes(void **state)
{
	(void)state;
	write_file("etc/passwd", "root:x:0:0::/root:/bin/sh", 0604);
	write_file("etc/group", "root:x:0:\nsudo:x:27:\n", 0644);
	write_file("etc/shadow", "root:*:1::::::\n", 0640);
	give_to("etc/shadow", 0, 42);
	make_folder("etc/skel/sub");
	make_folder("bin");
	write_file("bin/sh", "", 0755);
	write_file("etc/skel/sub/.rc", "rc\n", 0600);
	for (int i = 0; i < 2; i++) {
		expect_ensured(&ada, "check ada /home/ada");
		expect_file("etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\n");
		expect_file("etc/group", "root:x:0:\nsudo:x:27:ada\nada:x:1001:\n");
		expect_mode("etc/passwd", 0604, 0, 0);
		expect_mode("etc/shadow", 0640, 0, 42);
		expect_file("etc/sudoers.d/zz-annex", SUDO_RULE);
		expect_mode("etc/sudoers.d/zz-annex", 0440, 0, 0);
		expect_mode("etc/sudoers.d", 0750, 0, 0);
		expect_mode("home/ada", 0700, 1000, 1001);
		expect_file("home/ada/sub/.rc", "rc\n");
		expect_mode("home/ada/sub/.rc", 0600, 1000, 1001);
		assert_false(exists("home/ada.annex-new"));
	}
	run(settle, &ada);
	expect_ensured(&ada, "done ada /home/ada");
	/* What is gone is made again. */
	drop("home/ada");
	write_file("etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0604);
	expect_ensured(&ada, "check ada /home/ada");
	expect_file("home/ada/sub/.rc", "rc\n");
	expect_file("etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\n");
}

/* On a disk that takes no large files any more. */
static int ensure_in_little_room(void *data, struct text *out, struct annex_error **err)
{
	struct rlimit little = {1000, 1000};

	signal(SIGXFSZ, SIG_IGN);
	return setrlimit(RLIMIT_FSIZE, &little) < 0 ? -1 : ensure(data, out, err);
}

static void a_home_is_made_whole_or_not_at_all(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct account copy = ada;
	char large[2001] = "";

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	make_folder("etc/skel/sub");
	write_file("etc/skel/sub/.rc", large, 0600);
	assert_int_equal(inside_run(NULL, root, ensure_in_little_room, &copy, &err), -1);
	assert_string_equal(annex_error_message(err), "cannot set up the account of ada: cannot make the home folder "
						      "/home/ada: File too large");
	assert_false(exists("home/ada"));
	assert_false(exists("etc/passwd"));
	expect_ensured(&ada, "check ada /home/ada");
	expect_file("home/ada/sub/.rc", large);
	assert_false(exists("home/ada.annex-new"));
}

static void an_account_with_the_id_is_renamed_and_its_home_moved(void **state)
{
	(void)state;
	write_file("etc/passwd", "ubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n", 0644);
	write_file("etc/group", "ubuntu:x:1000:\n", 0644);
	make_folder("home/ubuntu");
	write_file("home/ubuntu/.kept", "kept\n", 0600);
	give_to("home/ubuntu", 1000, 1000);
	for (int i = 0; i < 2; i++) {
		expect_ensured(&ada, "check ada /home/ada");
		expect_file("etc/passwd",
			    "ada:x:1000:1001::/home/ada:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n"
			    "root:x:0:0:root:/root:/bin/sh\n");
		expect_file("etc/group", "ubuntu:x:1000:ada\nroot:x:0:\nada:x:1001:\n");
		expect_file("home/ada/.kept", "kept\n");
		expect_file("home/ubuntu/.kept", "kept\n"); /* by a link */
		/* As if it had been interrupted before the last step. */
		write_file("etc/passwd", "ubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n", 0644);
		write_file("etc/group", "ubuntu:x:1000:ada\nroot:x:0:\nada:x:1001:\n", 0644);
	}
}

static void a_person_of_that_name_gets_the_ids_and_the_files(void **state)
{
	(void)state;
	write_file("etc/passwd", "root:x:0:0::/:/bin/sh\nada:x:1005:1005::/home/ada:/bin/sh\n", 0644);
	write_file("etc/group", "root:x:0:\nada:x:1005:\n", 0644);
	make_folder("home/ada/sub");
	write_file("home/ada/sub/own", "", 04755);
	write_file("home/ada/sub/other", "", 0644);
	link_to("/etc/passwd", "home/ada/link");
	give_to("home/ada", 1005, 1005);
	give_to("home/ada/sub", 1005, 0);
	give_to("home/ada/sub/own", 1005, 1005);
	give_to("home/ada/sub/other", 7, 8);
	give_to("home/ada/link", 1005, 1005);
	drop("home/ada/sub/own");
	write_file("home/ada/sub/own", "", 0755);
	give_to("home/ada/sub/own", 1005, 1005);
	write_file("etc/mode", "", 0644);
	expect_ensured(&ada, "check ada /home/ada");
	expect_file("etc/passwd", "root:x:0:0::/:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\n");
	expect_file("etc/group", "root:x:0:\nada:x:1001:\n");
	expect_mode("home/ada", 0755, 1000, 1001);
	expect_mode("home/ada/sub", 0755, 1000, 0);
	expect_mode("home/ada/sub/own", 0755, 1000, 1001);
	expect_mode("home/ada/sub/other", 0644, 7, 8);
	expect_mode("home/ada/link", 0777, 1000, 1001);
	expect_mode("etc/passwd", 0644, 0, 0);
}

static void a_shared_home_is_not_made_and_an_own_one_later_is(void **state)
{
	(void)state;
	make_folder("etc/skel");
	write_file("etc/skel/.rc", "rc\n", 0600);
	expect_ensured(&shared_ada, "check ada /home/ada");
	expect_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1001::/home/ada:/bin/sh\n");
	assert_false(exists("home"));
	make_folder("home/ada"); /* what it is bound to */
	expect_ensured(&shared_ada, "check ada /home/ada");
	expect_mode("home/ada", 0755, 0, 0);
	expect_ensured(&ada, "check ada /home/ada");
	expect_mode("home/ada", 0700, 1000, 1001);
	expect_file("home/ada/.rc", "rc\n");
}

static void a_home_that_was_emptied_stays_so(void **state)
{
	(void)state;
	make_folder("etc/skel");
	write_file("etc/skel/.rc", "rc\n", 0600);
	expect_ensured(&ada, "check ada /home/ada");
	drop("home/ada/.rc");
	expect_ensured(&ada, "check ada /home/ada");
	assert_false(exists("home/ada/.rc"));
}

static void a_home_is_made_where_links_to_nowhere_lead(void **state)
{
	(void)state;
	link_to("var/home", "home");
	expect_ensured(&ada, "check ada /home/ada");
	expect_mode("var/home/ada", 0700, 1000, 1001);
}

static void the_shell_is_the_hosts_or_the_images(void **state)
{
	struct account zsh = ada;

	(void)state;
	make_folder("usr/bin");
	make_folder("etc/default");
	zsh.shell = "/opt/own/zsh";
	write_file("usr/bin/dash", "", 0755);
	write_file("etc/default/useradd", "# useradd\nSHELL=/usr/bin/dash\n", 0644);
	expect_ensured(&zsh, "check ada /home/ada");
	expect_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1001::/home/ada:/usr/bin/dash\n");
	drop("etc/passwd");
	write_file("usr/bin/zsh", "", 0755);
	expect_ensured(&zsh, "check ada /home/ada");
	expect_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1001::/home/ada:/usr/bin/zsh\n");
	drop("etc/passwd");
	write_file("usr/bin/nologin", "", 0755);
	zsh.shell = "/usr/bin/nologin";
	drop("etc/default/useradd");
	write_file("usr/bin/bash", "", 0755);
	expect_ensured(&zsh, "check ada /home/ada");
	expect_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1001::/home/ada:/usr/bin/bash\n");
}

static void rules_of_sudo_and_doas_are_kept_up_while_they_are_ours(void **state)
{
	(void)state;
	make_folder("etc/sudoers.d");
	make_folder("etc/doas.d");
	make_folder("usr/bin");
	write_file("usr/bin/doas", "", 0755);
	write_file("etc/sudoers", "Defaults x\n%sudo ALL=(ALL) ALL", 0440);
	write_file("etc/doas.conf", "permit persist :wheel\n" OURS "permit nopass old\n# end\n", 0600);
	for (int i = 0; i < 2; i++) {
		expect_ensured(&ada, "check ada /home/ada");
		expect_file("etc/sudoers", "Defaults x\n%sudo ALL=(ALL) ALL\n" SUDO_RULE);
		expect_mode("etc/sudoers", 0440, 0, 0);
		expect_file("etc/doas.conf",
			    "permit persist :wheel\n" OURS "permit nopass setenv { " KEPT " } ada\n# end\n");
		expect_mode("etc/doas.conf", 0600, 0, 0);
		expect_file("etc/doas.d/zz-annex.conf", OURS "permit nopass setenv { " KEPT " } ada\n");
	}
	write_file("etc/sudoers", "@includedir /etc/sudoers.d\n", 0440);
	write_file("etc/sudoers.d/zz-annex", "", 0440);
	write_file("etc/doas.conf", OURS "# not any more\n", 0600);
	write_file("etc/doas.d/zz-annex.conf", OURS, 0644);
	expect_ensured(&ada, "check ada /home/ada");
	expect_file("etc/sudoers", "@includedir /etc/sudoers.d\n");
	expect_file("etc/sudoers.d/zz-annex", "");
	expect_file("etc/doas.conf", OURS "# not any more\n");
	expect_file("etc/doas.d/zz-annex.conf", OURS);
	/* What can't be written does not keep a machine from starting. */
	drop("etc/sudoers.d");
	write_file("etc/sudoers.d", "", 0644);
	expect_ensured(&ada, "check ada /home/ada");
}

static void the_images_script_comes_first_until_it_has_succeeded(void **state)
{
	(void)state;
	make_folder("etc/machine");
	write_file("etc/passwd", "root:x:0:0::/:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n", 0644);
	write_file("etc/machine/create-user.sh", "", 0644);
	expect_ensured(&ada, "run ada /home/ada");
	expect_ensured(&ada, "run ada /home/ada");
	run(settle_by_script, &ada);
	expect_ensured(&ada, "done ubuntu /home/ubuntu");
	expect_file("etc/passwd", "root:x:0:0::/:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n");
	assert_false(exists("etc/sudoers.d"));
	expect_ensured(&shared_ada, "done ubuntu /home/ada");
	expect_file("etc/passwd", "root:x:0:0::/:/bin/sh\nubuntu:x:1000:1000::/home/ada:/bin/sh\n");
	write_file("etc/passwd", "root:x:0:0::/:/bin/sh\n", 0644);
	expect_ensured(&ada, "run ada /home/ada");
	drop("etc/machine");
	expect_ensured(&ada, "check ada /home/ada");
}

static void a_script_that_comes_later_is_not_run(void **state)
{
	(void)state;
	expect_ensured(&ada, "check ada /home/ada");
	run(settle, &ada);
	make_folder("etc/machine");
	write_file("etc/machine/create-user.sh", "", 0755);
	expect_ensured(&ada, "done ada /home/ada");
}

static void root_needs_nothing(void **state)
{
	struct account host = {.name = "root", .group = "root", .home = "/root", .shell = "/bin/bash"};

	(void)state;
	expect_ensured(&host, "done root /root");
	assert_false(exists("etc/passwd"));
}

static void odd_names_and_homes_are_made_to_fit(void **state)
{
	struct account odd = ada;

	(void)state;
	odd.name = "ada lovelace@corp.example";
	odd.group = "domain users@corp.example";
	odd.home = "/home/corp:ada";
	expect_ensured(&odd, "check ada_lovelace /home/ada_lovelace");
	expect_file("etc/passwd",
		    "root:x:0:0:root:/root:/bin/sh\nada_lovelace:*:1000:1001::/home/ada_lovelace:/bin/sh\n");
	expect_file("etc/group", "root:x:0:\ndomain_users:x:1001:\n");
}

static void files_that_are_links_stay_links(void **state)
{
	(void)state;
	make_folder("usr/etc");
	write_file("usr/etc/passwd", "root:x:0:0::/:/bin/sh\n", 0600);
	link_to("/usr/etc/passwd", "etc/passwd");
	link_to("../var/lib/group", "etc/group");
	expect_ensured(&ada, "check ada /home/ada");
	expect_file("usr/etc/passwd", "root:x:0:0::/:/bin/sh\nada:*:1000:1001::/home/ada:/bin/sh\n");
	expect_mode("usr/etc/passwd", 0600, 0, 0);
	expect_file("var/lib/group", "root:x:0:\nada:x:1001:\n");
	expect_mode("etc/group", 0777, 0, 0);
}

static void a_full_disk_is_told_with_what_helps(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *answer = NULL;
	char path[256];
	struct account copy = ada;
	int result;

	(void)state;
	in_root(path, sizeof(path), "etc");
	assert_int_equal(mount("none", path, "tmpfs", 0, "size=4k,mode=0755"), 0);
	write_file("etc/passwd", "root:x:0:0::/:/bin/sh\n", 0644);
	result = inside_run(&answer, root, ensure, &copy, &err);
	expect_file("etc/passwd", "root:x:0:0::/:/bin/sh\n");
	assert_int_equal(umount(path), 0);
	assert_int_equal(result, -1);
	assert_string_equal(annex_error_message(err), "cannot set up the account of ada: cannot write /etc/group of "
						      "the image: No space left on device");
	assert_string_equal(annex_error_hint(err), "annex set disk=SIZE gives the machine a larger disk");
}

static void what_is_no_file_is_told_and_left_alone(void **state)
{
	char path[256];

	(void)state;
	make_folder("etc/passwd/inner");
	expect_ensured(&ada, "cannot set up the account of ada: /etc/passwd of the image is not a file");
	assert_true(exists("etc/passwd/inner"));
	drop("etc/passwd");
	in_root(path, sizeof(path), "etc/group");
	assert_int_equal(mkfifo(path, 0644), 0);
	expect_ensured(&ada, "cannot set up the account of ada: /etc/group of the image is not a file");
	drop("etc/group");
	in_root(path, sizeof(path), "etc/.pwd.lock");
	drop("etc/.pwd.lock");
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_ensured(&ada, "cannot set up the account of ada: cannot open /etc/.pwd.lock: No such device or address");
	drop("etc/.pwd.lock");
	link_to("shadow", "etc/shadow");
	expect_ensured(&ada, "cannot set up the account of ada: cannot read /etc/shadow of the image: Too many levels "
			     "of symbolic links");
}

static void a_machine_that_has_started_starts_with_what_it_has(void **state)
{
	(void)state;
	expect_ensured(&ada, "check ada /home/ada");
	run(settle, &ada);
	drop("home/ada");
	drop("home");
	write_file("home", "", 0644); /* no folder can be made here */
	expect_ensured(&ada, "done ada /home/ada");
	drop("etc/group");
	make_folder("etc/group");
	expect_ensured(&ada, "done ada /home/ada");
	write_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0644);
	drop("etc/group");
	expect_ensured(&ada,
		       "cannot set up the account of ada: cannot make the home folder /home/ada: Not a directory");
}

static void large_files_and_any_bytes_are_taken(void **state)
{
	enum { LINES = 50000 };
	auto_text struct text large = {0};
	auto_free char *content = NULL;
	size_t size = 0;
	char path[256];

	(void)state;
	for (unsigned i = 0; i < LINES; i++)
		text_printf(&large, "u%u:x:%u:%u:user number %u:/home/u%u:/bin/sh\n", i, 2000 + i, 2000 + i, i, i);
	large.data[5] = '\0';
	in_root(path, sizeof(path), "etc/passwd");
	assert_true(text_ok(&large) && large.size > 2 << 20);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, large.data, large.size, 0644), 0);
	expect_ensured(&ada, "check ada /home/ada");
	assert_int_equal(file_read(&content, &size, AT_FDCWD, path, 16 << 20), 0);
	assert_memory_equal(content, large.data, large.size);
	assert_string_equal(content + large.size,
			    "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1001::/home/ada:/bin/sh\n");
}

static void the_lock_of_useradd_is_waited_for(void **state)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[256];
	pid_t pid;
	int fd;

	(void)state;
	in_root(path, sizeof(path), "etc/.pwd.lock");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(fcntl(fd, F_SETLK, &whole), 0);
	pid = fork();
	if (pid == 0) {
		struct account copy = ada;

		_exit(inside_run(NULL, root, ensure, &copy, NULL) < 0);
	}
	usleep(300000);
	assert_false(exists("etc/passwd"));
	close(fd);
	assert_int_equal(waitpid(pid, &fd, 0), pid);
	assert_int_equal(fd, 0);
	assert_true(exists("etc/passwd"));
}

/* What is done with the image's programs. */

static int enroll_user(void *data, struct text *out, struct annex_error **err)
{
	static const char *const environment[] = {"FROM=image", NULL};
	auto_account_user struct account_user user = {0};

	if (file_make_folders("/var/lib/annex", 0755) < 0 || account_ensure(&user, data, err) < 0)
		return -1;
	if (enroll(&(struct enroll){data, &user, "0123", environment, 1}, err) < 0)
		return -1;
	account_user_clear(&user);
	return ensure(data, out, err);
}

static void copy_busybox(const char *name)
{
	static const char *const places[] = {"/bin/busybox", "/usr/bin/busybox"};
	char path[256];

	in_root(path, sizeof(path), name);
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		auto_close int from = open(places[i], O_RDONLY | O_CLOEXEC);
		auto_close int to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

		if (from >= 0 && to >= 0 && file_copy(to, from) == 0)
			return;
	}
	skip();
}

static void make_programs(void)
{
	char path[256];

	make_folder("bin");
	make_folder("dev");
	copy_busybox("bin/sh");
	in_root(path, sizeof(path), "dev/null");
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 3)), 0);
	assert_int_equal(chmod(path, 0666), 0);
}

static void expect_enrolled(const char *wanted, const char *hint)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *answer = NULL;
	struct account copy = ada;

	if (inside_run(&answer, root, enroll_user, &copy, &err) < 0) {
		assert_string_equal(annex_error_message(err), wanted);
		assert_true(text_equal(annex_error_hint(err), hint));
		assert_false(exists("var/lib/annex/account"));
	} else {
		assert_string_equal(answer, wanted);
	}
}

static void a_script_that_fails_is_told_with_the_reason(void **state)
{
	static const struct {
		const char *script;
		mode_t mode;
		const char *told, *hint;
	} rows[] = {
		{"#!/bin/sh\n", 0644, "can't be executed", "chmod 755 it in the image"},
		{"#!/bin/none\n", 0755, "lacks the interpreter",
		 "its first line must name a program that the image has"},
		{"exit 0\n", 0755, "is no program", "its first line must be one like #!/bin/sh"},
		{"#!/bin/sh\nexit 3\n", 0755, "ended with status 3", NULL},
		{"#!/bin/sh\nkill -9 $$\n", 0755, "was killed by signal 9", NULL},
		{"#!/bin/sh\n[ $FROM = image ]\n", 0755, "ended with status 0: no account has the id 1000", NULL},
	};
	char wanted[256];

	(void)state;
	make_programs();
	make_folder("etc/machine");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		write_file("etc/machine/create-user.sh", rows[i].script, rows[i].mode);
		snprintf(wanted, sizeof(wanted),
			 strstr(rows[i].told, "interpreter") ? "the image %s of its /etc/machine/create-user.sh"
							     : "the image's /etc/machine/create-user.sh %s",
			 rows[i].told);
		expect_enrolled(wanted, rows[i].hint);
	}
	drop("etc/machine/create-user.sh");
	link_to("/nowhere", "etc/machine/create-user.sh");
	expect_enrolled("the image's /etc/machine/create-user.sh is a link to nowhere", NULL);
	drop("etc/machine/create-user.sh");
	make_folder("etc/machine/create-user.sh");
	expect_enrolled("the image's /etc/machine/create-user.sh can't be executed", "chmod 755 it in the image");
}

static void a_script_is_told_whose_account_it_makes(void **state)
{
	static const char script[] =
		"#!/bin/sh\necho \"$CONTAINER_USER:x:$CONTAINER_UID:$CONTAINER_GID:$CONTAINER_MACHINE_ID by $USER:"
		"$CONTAINER_HOME:/bin/sh\" >>/etc/passwd\n";

	(void)state;
	make_programs();
	make_folder("etc/machine");
	write_file("etc/machine/create-user.sh", script, 0755);
	expect_enrolled("done ada /home/ada", NULL);
	expect_file("etc/passwd", "ada:x:1000:1001:0123 by root:/home/ada:/bin/sh\n");
	expect_file("var/lib/annex/account", "1000:script\n");
}

static void a_program_that_does_not_stop_talking_is_not_listened_to(void **state)
{
	(void)state;
	make_programs();
	write_file("bin/id", "#!/bin/sh\nwhile :; do echo and another thing; done\n", 0755);
	expect_enrolled("done ada /home/ada", NULL);
}

static void programs_that_do_not_know_the_account_are_told(void **state)
{
	(void)state;
	make_programs();
	write_file("bin/id", "#!/bin/sh\necho eve\n", 0755);
	expect_enrolled("programs of the image don't know the account ada (1000): \"id -un\" says \"eve\"",
			"the image's /etc/nsswitch.conf must have \"passwd: files\"");
	write_file("bin/id", "#!/bin/sh\necho id: cannot find name for user ID 1000 >&2; echo 1000; exit 1\n", 0755);
	expect_enrolled("programs of the image don't know the account ada (1000): \"id -un\" says \"id: cannot find "
			"name for user ID 1000\"",
			"the image's /etc/nsswitch.conf must have \"passwd: files\"");
}

static void programs_that_are_broken_are_no_failure(void **state)
{
	(void)state;
	make_programs();
	write_file("bin/id", "#!/bin/none\n", 0755);
	write_file("bin/sudo", "#!/bin/sh\necho sudo: a password is required >&2; exit 1\n", 0755);
	write_file("bin/doas", "#!/bin/sh\nkill -9 $$\n", 0755);
	expect_enrolled("done ada /home/ada", NULL);
	expect_file("var/lib/annex/account", "1000:built-in\n");
	drop("bin/id");
	drop("bin/sudo");
	drop("var/lib/annex/account");
	copy_busybox("bin/id");
	expect_enrolled("done ada /home/ada", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IMAGE_TEST(an_account_is_added_once_and_files_keep_their_modes),
		IMAGE_TEST(a_home_is_made_whole_or_not_at_all),
		IMAGE_TEST(an_account_with_the_id_is_renamed_and_its_home_moved),
		IMAGE_TEST(a_person_of_that_name_gets_the_ids_and_the_files),
		IMAGE_TEST(a_shared_home_is_not_made_and_an_own_one_later_is),
		IMAGE_TEST(a_home_that_was_emptied_stays_so),
		IMAGE_TEST(a_home_is_made_where_links_to_nowhere_lead),
		IMAGE_TEST(the_shell_is_the_hosts_or_the_images),
		IMAGE_TEST(rules_of_sudo_and_doas_are_kept_up_while_they_are_ours),
		IMAGE_TEST(the_images_script_comes_first_until_it_has_succeeded),
		IMAGE_TEST(a_script_that_comes_later_is_not_run),
		IMAGE_TEST(root_needs_nothing),
		IMAGE_TEST(odd_names_and_homes_are_made_to_fit),
		IMAGE_TEST(files_that_are_links_stay_links),
		IMAGE_TEST(a_full_disk_is_told_with_what_helps),
		IMAGE_TEST(what_is_no_file_is_told_and_left_alone),
		IMAGE_TEST(a_machine_that_has_started_starts_with_what_it_has),
		IMAGE_TEST(large_files_and_any_bytes_are_taken),
		IMAGE_TEST(the_lock_of_useradd_is_waited_for),
		IMAGE_TEST(a_script_that_fails_is_told_with_the_reason),
		IMAGE_TEST(a_script_is_told_whose_account_it_makes),
		IMAGE_TEST(programs_that_do_not_know_the_account_are_told),
		IMAGE_TEST(a_program_that_does_not_stop_talking_is_not_listened_to),
		IMAGE_TEST(programs_that_are_broken_are_no_failure),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP an image's root folder can be entered, and files given away, by root only\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
