/* The environment of a login, and what the agent does for it, in a folder that stands for the machine's root. */
#include "test.h"

#include "base/spawn.h"
#include "base/terminfo.h"
#include "folder.h"
#include "guest/env.h"
#include "guest/linger.h"
#include "guest/locale.h"
#include "guest/logind.h"
#include "guest/login.h"
#include "guest/profile.h"
#include "guest/termdb.h"
#include "guest/timezone.h"
#include "guest/utmp.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The folder's: each test has one. */
static const char *in_root(const char *name)
{
	static char path[8][256];
	static unsigned turn;
	char *made = path[turn++ % COUNT_OF(path)];

	snprintf(made, sizeof(path[0]), "%s%s", folder, name);
	return made;
}

static void make_folder(const char *name)
{
	assert_int_equal(file_make_folders(in_root(name), 0755), 0);
}

static void put(const char *name, const char *text)
{
	char *parent = strdup(in_root(name));

	assert_non_null(parent);
	*strrchr(parent, '/') = '\0';
	assert_int_equal(file_make_folders(parent, 0755), 0);
	free(parent);
	assert_int_equal(file_write_atomic(AT_FDCWD, in_root(name), text, strlen(text), 0644), 0);
}

static void expect_file(const char *name, const char *text)
{
	auto_free char *found = NULL;

	if (file_read(&found, NULL, AT_FDCWD, in_root(name), 1 << 20) < 0)
		assert_null(text);
	else
		assert_string_equal(found, text);
}

static void expect_link(const char *name, const char *target)
{
	char found[256];
	ssize_t length = readlink(in_root(name), found, sizeof(found) - 1);

	assert_true(length > 0);
	found[length] = '\0';
	assert_string_equal(found, target);
}

/* Environments. */

static void a_file_of_assignments_is_read_as_pam_env_does(void **state)
{
	auto_text_list struct text_list env = {0};

	(void)state;
	assert_int_equal(
		env_set_text(&env, "# A=comment\nPATH=\"/bin:/usr/bin\"\n  export B='two words'  \nC=\nnone\n=x\n1D=x\n"
				   "E=\"\nF=a\"b\nG=last"),
		0);
	assert_int_equal(env.count, 6);
	assert_string_equal(env_get(&env, "PATH"), "/bin:/usr/bin");
	assert_string_equal(env_get(&env, "B"), "two words");
	assert_string_equal(env_get(&env, "C"), "");
	assert_string_equal(env_get(&env, "E"), "\"");
	assert_string_equal(env_get(&env, "F"), "a\"b");
	assert_string_equal(env_get(&env, "G"), "last");
}

static void variables_are_removed_by_their_beginning(void **state)
{
	auto_text_list struct text_list env = {0};

	(void)state;
	env_remove(&env, "LC_");
	assert_int_equal(env_set_all(&env, (const char *const[]){"LC_ALL=a", "TZ=b", "LC_TIME=c", "TZX=d", NULL}), 0);
	env_remove(&env, "LC_");
	env_remove(&env, "TZ=");
	assert_int_equal(env.count, 1);
	assert_string_equal(env.items[0], "TZX=d");
	assert_null(env.items[1]);
}

/* Languages. */

static void languages_are_named_as_glibc_names_its_files(void **state)
{
	static const struct {
		const char *name, *normal;
	} rows[] = {
		{"de_DE.UTF-8", "de_DE.utf8"},        {"de_DE", "de_DE"},
		{"ja_JP.eucJP", "ja_JP.eucjp"},       {"de_DE.8859-15@euro", "de_DE.iso885915@euro"},
		{"ca_ES@valencia", "ca_ES@valencia"}, {"C.UTF-8", "C.utf8"},
	};
	char made[LOCALE_NAME_MAX + 4];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		locale_normalise(made, rows[i].name);
		assert_string_equal(made, rows[i].normal);
	}
	assert_true(locale_is_name("de_DE.UTF-8@x"));
	assert_false(locale_is_name("../../etc"));
	assert_false(locale_is_name("/usr/lib"));
	assert_false(locale_is_name(""));
	assert_false(locale_is_name("LC_CTYPE=de;LC_TIME=C"));
}

static void glibc_has_the_languages_of_its_folder_and_its_archive(void **state)
{
	char prefix[128];
	const char *const argv[] = {"localedef", "--prefix", prefix, "-i", "POSIX", "-f", "UTF-8", "xx_YY.UTF-8", NULL};
	auto_free char *told = NULL;
	int status = -1;

	(void)state;
	/* Nothing of glibc: any will do. */
	assert_true(locale_is_there(folder, "de_DE.UTF-8"));
	assert_string_equal(locale_default(folder), "C.UTF-8");
	assert_false(locale_is_there(folder, "../x"));
	make_folder("/usr/lib/locale/C.utf8");
	make_folder("/usr/lib/locale/de_DE.utf8");
	assert_true(locale_is_there(folder, "de_DE.UTF-8"));
	assert_true(locale_is_there(folder, "C.UTF-8"));
	assert_true(locale_is_there(folder, "POSIX"));
	assert_false(locale_is_there(folder, "xx_YY.UTF-8"));
	assert_string_equal(locale_default(folder), "C.UTF-8");
	snprintf(prefix, sizeof(prefix), "%s", folder);
	assert_int_equal(spawn_capture(&told, NULL, &status, argv, 1 << 16, NULL), 0);
	assert_true(file_exists(AT_FDCWD, in_root("/usr/lib/locale/locale-archive")));
	assert_true(locale_is_there(folder, "xx_YY.UTF-8"));
	assert_true(locale_is_there(folder, "xx_YY.utf8"));
	assert_false(locale_is_there(folder, "xx_YZ.UTF-8"));
	assert_false(locale_is_there(folder, "xx_YY"));
	assert_int_equal(rmdir(in_root("/usr/lib/locale/C.utf8")), 0);
	assert_string_equal(locale_default(folder), "C");
}

static void an_archive_that_is_broken_has_no_language(void **state)
{
	char head[56] = "\x09\x01\x02\xde";

	(void)state;
	make_folder("/usr/lib/locale");
	memset(head + 4, 0xff, sizeof(head) - 4);
	assert_int_equal(
		file_write_atomic(AT_FDCWD, in_root("/usr/lib/locale/locale-archive"), head, sizeof(head), 0644), 0);
	assert_false(locale_is_there(folder, "de_DE.UTF-8"));
	memset(head + 4, 0, sizeof(head) - 4);
	assert_int_equal(
		file_write_atomic(AT_FDCWD, in_root("/usr/lib/locale/locale-archive"), head, sizeof(head), 0644), 0);
	assert_false(locale_is_there(folder, "de_DE.UTF-8"));
}

/* Terminals. */

static char *compile(size_t *ret_size, const char *name)
{
	auto_free char *told = NULL;
	char source[128], output[128], text[192], *made = NULL;
	const char *const argv[] = {"tic", "-x", "-o", output, source, NULL};
	int status = -1;

	snprintf(source, sizeof(source), "%s.source", folder);
	snprintf(output, sizeof(output), "%s.made", folder);
	snprintf(text, sizeof(text), "%s|for a test, am, bel=^G,\n", name);
	assert_int_equal(file_write_atomic(AT_FDCWD, source, text, strlen(text), 0600), 0);
	assert_int_equal(spawn_capture(&told, NULL, &status, argv, 1 << 16, NULL), 0);
	snprintf(text, sizeof(text), "%s/%c/%s", output, name[0], name);
	assert_int_equal(file_read(&made, ret_size, AT_FDCWD, text, TERMINFO_ENTRY_MAX), 0);
	assert_int_equal(file_remove_tree(AT_FDCWD, output), 0);
	assert_int_equal(unlink(source), 0);
	return made;
}

static void expect_terminal(const char *wanted, const struct message_bytes *entry, const char *name, bool needs_folders)
{
	struct termdb_choice choice = termdb_choose(folder, wanted, entry);

	assert_string_equal(choice.name, name);
	assert_int_equal(choice.needs_folders, needs_folders);
}

static void a_terminal_that_is_not_known_is_made_known(void **state)
{
	struct message_bytes entry = {0}, none = {0};
	auto_free char *made = compile(&entry.size, "annex-term");

	(void)state;
	entry.bytes = made;
	expect_terminal("annex-term", &entry, "annex-term", false); /* nothing there reads it */
	assert_false(file_exists(AT_FDCWD, in_root("/etc")));
	put("/lib/terminfo/x/xterm-256color", "");
	make_folder("/etc/terminfo");
	expect_terminal("annex-term", &none, "xterm-256color", false);
	expect_terminal("annex-term", &(struct message_bytes){"nonsense", 8}, "xterm-256color", false);
	expect_terminal("other-term", &entry, "xterm-256color", false); /* of another one */
	expect_terminal("annex-term", &entry, "annex-term", false);
	assert_true(file_exists(AT_FDCWD, in_root("/etc/terminfo/a/annex-term")));
	expect_terminal("annex-term", &none, "annex-term", false);
	expect_terminal("../../etc", &entry, "xterm-256color", false);
}

static void where_etc_is_not_looked_into_a_variable_tells(void **state)
{
	struct message_bytes entry = {0}, none = {0};
	auto_free char *made = compile(&entry.size, "annex-term");

	(void)state;
	entry.bytes = made;
	put("/usr/share/terminfo/x/xterm", "");
	make_folder("/root");
	expect_terminal("annex-term", &entry, "annex-term", true);
	assert_true(file_exists(AT_FDCWD, in_root("/usr/local/share/terminfo/a/annex-term")));
	expect_link("/root/.terminfo/a/annex-term", "/usr/local/share/terminfo/a/annex-term");
	expect_terminal("annex-term", &none, "annex-term", true);
}

static void the_next_best_terminal_is_taken(void **state)
{
	struct message_bytes none = {0};

	(void)state;
	make_folder("/usr/share/terminfo");
	expect_terminal("annex-term", &none, "dumb", false);
	put("/usr/share/terminfo/l/linux", "");
	expect_terminal("annex-term", &none, "linux", false);
	put("/usr/share/terminfo/78/xterm", ""); /* as on file systems that don't tell case apart */
	expect_terminal("annex-term", &none, "xterm", false);
	put("/usr/share/terminfo/s/screen", "");
	expect_terminal("tmux-256color", &none, "screen", false);
	expect_terminal("annex-term", &none, "xterm", false);
}

/* Time zones. */

static void set_zone(const char *zone)
{
	auto_error struct annex_error *err = NULL;

	if (timezone_set(folder, zone, &err) < 0)
		assert_string_equal(annex_error_message(err), "no error");
}

static void the_zone_follows_the_host_until_somebody_chooses_another(void **state)
{
	(void)state;
	make_folder("/etc");
	make_folder("/var/lib/annex");
	set_zone("Europe/Berlin"); /* the image has no zones */
	assert_false(file_exists(AT_FDCWD, in_root("/var/lib/annex/time-zone")));
	put("/usr/share/zoneinfo/Europe/Berlin", "");
	put("/usr/share/zoneinfo/Asia/Tokyo", "");
	assert_int_equal(symlink("/usr/share/zoneinfo/Etc/UTC", in_root("/etc/localtime")), 0);
	set_zone("Europe/Berlin");
	expect_link("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
	expect_file("/etc/timezone", NULL);
	put("/etc/debian_version", "12\n");
	set_zone("Asia/Tokyo");
	expect_link("/etc/localtime", "/usr/share/zoneinfo/Asia/Tokyo");
	expect_file("/etc/timezone", "Asia/Tokyo\n");
	set_zone("Mars/Base"); /* not there */
	set_zone("../../etc/passwd");
	set_zone("");
	expect_link("/etc/localtime", "/usr/share/zoneinfo/Asia/Tokyo");
	/* By timedatectl, inside. */
	assert_int_equal(unlink(in_root("/etc/localtime")), 0);
	assert_int_equal(symlink("../usr/share/zoneinfo/Etc/UTC", in_root("/etc/localtime")), 0);
	set_zone("Europe/Berlin");
	expect_link("/etc/localtime", "../usr/share/zoneinfo/Etc/UTC");
	expect_file("/etc/timezone", "Asia/Tokyo\n");
}

static void a_zone_that_was_being_set_is_set(void **state)
{
	(void)state;
	make_folder("/etc");
	put("/usr/share/zoneinfo/Europe/Berlin", "");
	put("/usr/share/zoneinfo/Asia/Tokyo", "");
	assert_int_equal(symlink("/usr/share/zoneinfo/Etc/UTC", in_root("/etc/localtime")), 0);
	/* A folder in its place: what can't be set is tried again at the next start. */
	make_folder("/var/lib/annex");
	make_folder("/etc/.localtime.annex/inner");
	assert_int_equal(timezone_set(folder, "Europe/Berlin", NULL), -1);
	expect_file("/var/lib/annex/time-zone", "Europe/Berlin\nwas Etc/UTC\n");
	assert_int_equal(rmdir(in_root("/etc/.localtime.annex/inner")), 0);
	assert_int_equal(rmdir(in_root("/etc/.localtime.annex")), 0);
	set_zone("Europe/Berlin");
	expect_link("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
	expect_file("/var/lib/annex/time-zone", "Europe/Berlin\n");
	/* Behind the link, the other file was missing. */
	put("/etc/timezone", "Etc/UTC\n");
	put("/var/lib/annex/time-zone", "Europe/Berlin\nwas Etc/UTC\n");
	set_zone("Europe/Berlin");
	expect_file("/etc/timezone", "Europe/Berlin\n");
	/* Somebody came between. */
	put("/var/lib/annex/time-zone", "Asia/Tokyo\nwas Etc/UTC\n");
	set_zone("Asia/Tokyo");
	expect_link("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin");
}

/* PATH of login shells. */

static void login_shells_keep_the_images_path(void **state)
{
	const char *run = ". \"$0\"; echo \"$PATH\"";
	const char *const argv[] = {"env", "-i", "PATH=/usr/bin:/bin:/already",      "sh",
				    "-c",  run,  in_root("/etc/profile.d/annex.sh"), NULL};
	auto_free char *told = NULL;
	int status = -1;

	(void)state;
	assert_int_equal(profile_write(folder, "/opt/x/bin", NULL), 0);
	assert_false(file_exists(AT_FDCWD, in_root("/etc")));
	make_folder("/etc/profile.d");
	assert_int_equal(profile_write(folder, "/usr/local/bin:/usr/bin:/bin:/usr/games", NULL), 0);
	expect_file("/etc/profile.d/annex.sh", NULL);
	assert_int_equal(profile_write(folder, "/go/bin:/it's $HOME:/usr/bin:/bin:.::/already:/end", NULL), 0);
	assert_int_equal(spawn_capture(&told, NULL, &status, argv, 1 << 16, NULL), 0);
	assert_string_equal(told, "/go/bin:/it's $HOME:/usr/bin:/bin:/already:/end\n");
	assert_int_equal(profile_write(folder, NULL, NULL), 0);
	expect_file("/etc/profile.d/annex.sh", NULL);
	put("/etc/profile.d/annex.sh", "# mine\n");
	assert_int_equal(profile_write(folder, "/opt/x/bin", NULL), 0);
	expect_file("/etc/profile.d/annex.sh", "# mine\n");
}

/* The user's services. */

static void units_are_not_put_where_a_link_leads_out_of_the_home(void **state)
{
	auto_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char outside[] = "/dev/shm/annex-test-XXXXXX";
	struct stat st;

	(void)state;
	make_folder("/home/dotfiles");
	assert_int_equal(symlink("dotfiles", in_root("/home/.config")), 0);
	assert_int_equal(linger_bind_units(root, in_root("/home")), -ENOENT); /* this host has none */
	assert_non_null(mkdtemp(outside));
	assert_int_equal(symlink(outside, in_root("/home/dotfiles/systemd")), 0);
	assert_int_equal(linger_bind_units(root, in_root("/home")), -EXDEV);
	assert_int_equal(unlink(in_root("/home/.config")), 0);
	assert_int_equal(symlink(outside, in_root("/home/.config")), 0);
	assert_int_equal(linger_bind_units(root, in_root("/home")), -EXDEV);
	assert_int_equal(rmdir(outside), 0);
	assert_int_equal(lstat(outside, &st), -1);
}

static void lingering_is_asked_for_once(void **state)
{
	(void)state;
	make_folder("/var/lib/annex");
	make_folder("/var/lib/systemd");
	assert_int_equal(linger_set(folder, "ada", NULL), 0);
	expect_file("/var/lib/systemd/linger/ada", "");
	assert_int_equal(unlink(in_root("/var/lib/systemd/linger/ada")), 0);
	assert_int_equal(linger_set(folder, "ada", NULL), 0);
	expect_file("/var/lib/systemd/linger/ada", NULL);
	assert_int_equal(linger_set(folder, "bob", NULL), 0);
	expect_file("/var/lib/systemd/linger/bob", "");
	assert_int_equal(linger_set(folder, "../../x", NULL), -1);
}

/* Who is logged in. */

static void a_record_is_as_glibc_has_it(void **state)
{
	const struct utmp_entry entry = {.pid = 0x01020304, .terminal = 12, .user = "ada", .seconds = 0x11223344};
	uint8_t record[UTMP_RECORD_MAX];

	(void)state;
	assert_int_equal(utmp_fill(record, "x86_64", &entry), 384);
	assert_memory_equal(record, "\7\0\0\0\4\3\2\1pts/12\0", 15);
	assert_memory_equal(record + 40, "s/12ada\0", 8);
	assert_string_equal((char *)record + 76, "annex");
	assert_memory_equal(record + 336, "\4\3\2\1\x44\x33\x22\x11\0\0\0\0", 12);
	assert_int_equal(utmp_fill(record, "aarch64", &entry), 400);
	assert_memory_equal(record + 336, "\4\3\2\1\0\0\0\0\x44\x33\x22\x11\0\0\0\0", 16);
}

static unsigned users(void)
{
	auto_free char *data = NULL;
	unsigned count = 0;
	size_t size = 0;

	assert_int_equal(file_read(&data, &size, AT_FDCWD, in_root("/run/utmp"), UTMP_FILE_MAX), 0);
	for (size_t at = 0; at + 384 <= size; at += 384)
		count += data[at] == 7;
	return count;
}

/* A session's end, and what is then left. */
static void expect_logout(const struct utmp_entry *entry, int left)
{
	struct utmp_mark mark = {.fd = -1};

	utmp_mark(&mark, utmp_login(folder, entry));
	assert_true(mark.fd >= 0);
	utmp_logout(&mark);
	assert_int_equal(mark.fd, -1);
	assert_int_equal(users(), left);
}

static void what_somebody_serves_is_not_in_memory(void **state)
{
	auto_close int memory = memfd_create("utmp", MFD_CLOEXEC), served = open("/proc/self/stat", O_RDONLY);

	(void)state;
	assert_true(utmp_is_in_memory(memory));
	assert_false(utmp_is_in_memory(served));
}

static void records_come_and_go_with_their_terminals(void **state)
{
	struct utmp_entry entry = {.pid = 100, .terminal = 1, .user = "ada", .seconds = 1};
	struct stat first, second;
	int fd;

	(void)state;
	make_folder("/run");
	assert_int_equal(utmp_login(folder, &entry), -1); /* nothing reads it */
	put("/usr/bin/who", "");
	fd = utmp_login(folder, &entry);
	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	close(fd);
	entry.terminal = 2;
	fd = utmp_login(folder, &entry);
	assert_true(fd >= 0);
	assert_true(lseek(fd, 0, SEEK_CUR) > 0);
	assert_int_equal(users(), 2);
	assert_int_equal(fstat(fd, &first), 0);
	close(fd);
	fd = utmp_login(folder, &entry); /* the same place */
	assert_int_equal(fstat(fd, &second), 0);
	assert_int_equal(first.st_size, second.st_size);
	close(fd);
	assert_int_equal(users(), 2);
	expect_logout(&entry, 1);
	entry.terminal = 1;
	expect_logout(&entry, 0);
	assert_int_equal(unlink(in_root("/run/utmp")), 0);
	assert_int_equal(symlink("/etc/passwd", in_root("/run/utmp")), 0);
	assert_int_equal(utmp_login(folder, &entry), -1);
}

static uint32_t number_at(const struct text *text, size_t at)
{
	const unsigned char *bytes = (const unsigned char *)text->data + at;

	assert_true(at + 4 <= text->size);
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The size of the message at a place: a head of 16 bytes, fields, and at an eighth byte the body. */
static size_t message_size(const struct text *text, size_t at)
{
	size_t fields = number_at(text, at + 12);

	assert_int_equal(at % 8, 0);
	assert_memory_equal(text->data + at, "l\1\0\1", 4);
	return (16 + fields + 7) / 8 * 8 + number_at(text, at + 4);
}

static void logind_is_asked_by_two_calls(void **state)
{
	auto_text struct text made = {0};
	size_t first, second, body;

	(void)state;
	logind_put_calls(&made, 55, &(struct logind_session){1000, 7});
	assert_true(text_ok(&made));
	first = message_size(&made, 0);
	assert_int_equal(number_at(&made, 4), 0);
	assert_int_equal(number_at(&made, 8), 1);
	assert_memory_equal(made.data + 16, "\1\1o\0\25\0\0\0/org/freedesktop/DBus\0", 30);
	second = message_size(&made, first);
	assert_int_equal(first + second, made.size);
	assert_int_equal(number_at(&made, first + 8), 2);
	body = made.size - number_at(&made, first + 4);
	assert_int_equal(number_at(&made, body), 1000);
	assert_int_equal(number_at(&made, body + 4), 55);
	assert_memory_equal(made.data + body + 8, "\5\0\0\0annex\0\0\0\3\0\0\0tty\0\4\0\0\0user\0", 33);
}

/* All of it. */

static struct message_config config;
static struct message_open open_message;
static struct passwd_user user;

static void expect(const struct text_list *env, const char *name, const char *value)
{
	const char *found = env_get(env, name);

	assert_string_equal(found ? found : "(none)", value ? value : "(none)");
}

static void log_in(struct text_list *env)
{
	auto_error struct annex_error *err = NULL;

	text_list_clear(env);
	assert_int_equal(login_environment(env,
					   &(struct login){.root = folder,
							   .config = &config,
							   .open = &open_message,
							   .user = &user,
							   .shell = "/bin/bash"},
					   &err),
			 0);
}

static void later_words_count_more(void **state)
{
	auto_text_list struct text_list env = {0};
	static const char *const said[] = {"TERM=xterm", "COLORTERM=truecolor", "LANG=de_DE.UTF-8",
					   "LC_TIME=en_GB.UTF-8", NULL};
	static const char *const machine[] = {"A=image",        "B=image",    "C=image", "LANG=fr_FR.UTF-8",
					      "LC_ALL=C.UTF-8", "TERM=vt100", "HOME=/x", "PATH=/image",
					      "D=setting",      "C=setting",  NULL};
	static const char *const own[] = {"D=own", "USER=own", NULL};

	(void)state;
	put("/etc/environment", "A=file\nE=file\nPATH=/file\n");
	user.uid = getuid();
	user.gid = getgid();
	config = (struct message_config){
		.environment = machine, .image_environment = 8, .time_zone = "", .time_zone_rule = ""};
	open_message =
		(struct message_open){.flags = OPEN_TERMINAL, .environment = own, .login = said, .time_zone_rule = ""};
	log_in(&env);
	expect(&env, "A", "image");
	expect(&env, "B", "image");
	expect(&env, "C", "setting");
	expect(&env, "D", "own");
	expect(&env, "E", "file");
	expect(&env, "PATH", "/image");
	expect(&env, "HOME", "/home/ada");
	expect(&env, "USER", "own");
	expect(&env, "LOGNAME", "ada");
	expect(&env, "SHELL", "/bin/bash");
	expect(&env, "TERM", "xterm");
	expect(&env, "COLORTERM", "truecolor");
	expect(&env, "LANG", "de_DE.UTF-8");
	expect(&env, "LC_TIME", "en_GB.UTF-8");
	expect(&env, "LC_ALL", NULL);
	/* Languages that there are not. */
	make_folder("/usr/lib/locale/C.utf8");
	log_in(&env);
	expect(&env, "LANG", "fr_FR.UTF-8");
	expect(&env, "LC_ALL", "C.UTF-8");
	expect(&env, "LC_TIME", NULL);
	/* Without a terminal, nothing of its kind is looked for. */
	open_message.flags = 0;
	put("/usr/share/terminfo/v/vt100", "");
	log_in(&env);
	expect(&env, "TERM", "xterm");
	expect(&env, "COLORTERM", NULL);
}

static void proxies_are_those_of_who_logs_in_unless_the_setting_has_others(void **state)
{
	auto_text_list struct text_list env = {0}, machine_env = {0};
	static const char *const said[] = {"http_proxy=http://client:1", "NO_PROXY=client", "EVIL_PROXY=x",
					   "PATH=/evil", NULL};
	static const char *const machine[] = {"http_proxy=http://image:1", "HTTPS_PROXY=http://image:2",
					      "NO_PROXY=setting", NULL};
	static const char *const started[] = {"https_proxy=http://starter:1", "http_proxy=http://starter:2", "LANG=x",
					      NULL};
	static const char *const own[] = {"http_proxy=own", NULL}, *const none[] = {NULL};

	(void)state;
	user.uid = getuid();
	user.gid = getgid();
	config = (struct message_config){.environment = machine,
					 .image_environment = 2,
					 .time_zone = "",
					 .time_zone_rule = "",
					 .proxies = started};
	open_message = (struct message_open){.environment = none, .login = said, .time_zone_rule = ""};
	log_in(&env);
	expect(&env, "http_proxy", "http://client:1");
	expect(&env, "HTTPS_PROXY", "http://image:2");
	expect(&env, "https_proxy", NULL);
	expect(&env, "NO_PROXY", "setting");
	expect(&env, "EVIL_PROXY", NULL);
	assert_string_not_equal(env_get(&env, "PATH"), "/evil");
	open_message.environment = own;
	log_in(&env);
	expect(&env, "http_proxy", "own");
	/* What is no session has those of who started the machine. */
	assert_int_equal(login_set_machine(&machine_env, folder, &config), 0);
	expect(&machine_env, "http_proxy", "http://starter:2");
	expect(&machine_env, "https_proxy", "http://starter:1");
	expect(&machine_env, "HTTPS_PROXY", "http://image:2");
	expect(&machine_env, "NO_PROXY", "setting");
	expect(&machine_env, "LANG", NULL);
}

static void what_nobody_says_has_its_default(void **state)
{
	auto_text_list struct text_list env = {0};
	char runtime[64];
	const char *const none[] = {NULL};

	(void)state;
	user.uid = getuid();
	user.gid = getgid();
	config = (struct message_config){.environment = none, .time_zone = "", .time_zone_rule = ""};
	open_message = (struct message_open){.environment = none, .login = none, .time_zone_rule = ""};
	log_in(&env);
	expect(&env, "PATH", user.uid == 0 ? ENV_PATH : "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games");
	expect(&env, "LANG", "C.UTF-8");
	expect(&env, "TERM", "dumb");
	expect(&env, "TZ", NULL);
	expect(&env, "XDG_RUNTIME_DIR", NULL); /* there is no /run */
	make_folder("/run");
	put("/etc/login.defs", "# ENV_PATH PATH=/no\nENV_SUPATH\tPATH=/super:/bin\nENV_PATH  /user:/bin \n");
	put("/etc/default/locale", "LANG=\"nl_NL.UTF-8\"\n");
	make_folder("/usr/lib/locale/nl_NL.utf8");
	open_message.flags = OPEN_TERMINAL;
	log_in(&env);
	expect(&env, "PATH", user.uid == 0 ? "/super:/bin" : "/user:/bin");
	expect(&env, "LANG", "nl_NL.UTF-8");
	expect(&env, "TERM", "xterm-256color");
	snprintf(runtime, sizeof(runtime), "/run/user/%u", user.uid);
	expect(&env, "XDG_RUNTIME_DIR", runtime);
	expect(&env, "DBUS_SESSION_BUS_ADDRESS", NULL);
	/* One that others can look into is none. */
	assert_int_equal(chmod(in_root(runtime), 0755), 0);
	log_in(&env);
	expect(&env, "XDG_RUNTIME_DIR", NULL);
}

static void time_is_the_hosts_by_file_or_by_rule(void **state)
{
	auto_text_list struct text_list env = {0}, init = {0};
	static const char *const machine[] = {"TZ=Etc/UTC", NULL}, *const none[] = {NULL};
	static const char *const said[] = {"TZ=:Europe/Berlin", NULL}, *const odd[] = {"TZ=../../etc/passwd", NULL};

	(void)state;
	user.uid = getuid();
	user.gid = getgid();
	config = (struct message_config){
		.environment = machine, .image_environment = 1, .time_zone = "Asia/Tokyo", .time_zone_rule = "JST-9"};
	open_message = (struct message_open){.environment = none, .login = none, .time_zone_rule = ""};
	log_in(&env);
	expect(&env, "TZ", "JST-9");
	assert_int_equal(login_set_machine(&init, folder, &config), 0);
	expect(&init, "TZ", "JST-9");
	put("/etc/localtime", "TZif2");
	log_in(&env);
	expect(&env, "TZ", NULL);
	config.image_environment = 0; /* by the setting, then */
	log_in(&env);
	expect(&env, "TZ", "Etc/UTC");
	config.environment = none;
	open_message.login = said;
	open_message.time_zone_rule = "CET-1";
	log_in(&env);
	expect(&env, "TZ", "CET-1");
	put("/usr/share/zoneinfo/Europe/Berlin", "");
	log_in(&env);
	expect(&env, "TZ", "Europe/Berlin");
	open_message.login = odd;
	open_message.time_zone_rule = "CET-1;reboot";
	log_in(&env);
	expect(&env, "TZ", NULL);
	config = (struct message_config){
		.environment = machine, .image_environment = 1, .time_zone = "", .time_zone_rule = ""};
	log_in(&env);
	expect(&env, "TZ", "Etc/UTC"); /* the host has none */
}

static char name[] = "ada", home[] = "/home/ada", shell[] = "/bin/bash";

#define TEST(function) cmocka_unit_test_setup_teardown(function, folder_set_up, folder_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_of_assignments_is_read_as_pam_env_does),
		TEST(variables_are_removed_by_their_beginning),
		TEST(languages_are_named_as_glibc_names_its_files),
		TEST(glibc_has_the_languages_of_its_folder_and_its_archive),
		TEST(an_archive_that_is_broken_has_no_language),
		TEST(a_terminal_that_is_not_known_is_made_known),
		TEST(where_etc_is_not_looked_into_a_variable_tells),
		TEST(the_next_best_terminal_is_taken),
		TEST(the_zone_follows_the_host_until_somebody_chooses_another),
		TEST(a_zone_that_was_being_set_is_set),
		TEST(login_shells_keep_the_images_path),
		TEST(lingering_is_asked_for_once),
		TEST(units_are_not_put_where_a_link_leads_out_of_the_home),
		TEST(a_record_is_as_glibc_has_it),
		TEST(records_come_and_go_with_their_terminals),
		TEST(what_somebody_serves_is_not_in_memory),
		TEST(logind_is_asked_by_two_calls),
		TEST(later_words_count_more),
		TEST(proxies_are_those_of_who_logs_in_unless_the_setting_has_others),
		TEST(what_nobody_says_has_its_default),
		TEST(time_is_the_hosts_by_file_or_by_rule),
	};

	user = (struct passwd_user){.name = name, .home = home, .shell = shell};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
