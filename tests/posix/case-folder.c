/* Listing folders, watching them, and what they say of their file system. */
#include "posix.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/statvfs.h>

#define MANY 400

static void make_many(void)
{
	char name[32];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "file-with-a-name-%d", i);
		OK(close((int)OK(open(name, O_CREAT | O_RDWR, 0644))));
	}
}

static int number_of(const char *name)
{
	return strncmp(name, "file-with-a-name-", 17) == 0 ? atoi(name + 17) : -1;
}

static void every_name_is_listed_once(void)
{
	static unsigned char seen[MANY];
	DIR *entries;
	struct dirent *entry;
	int dots = 0;

	make_many();
	entries = opendir(".");
	while ((entry = readdir(entries))) {
		int number = number_of(entry->d_name);

		if (number < 0)
			dots++;
		else
			EQUAL(seen[number]++, 0);
	}
	EQUAL(dots, 2);
	for (int i = 0; i < MANY; i++)
		EQUAL(seen[i], 1);
}

static void types_and_numbers_are_told(void)
{
	DIR *entries;
	struct dirent *entry;

	make_file("file", "");
	make_folder("folder");
	OK(symlink("x", "link"));
	OK(mkfifo("fifo", 0644));
	entries = opendir(".");
	while ((entry = readdir(entries))) {
		struct stat st;

		if (strcmp(entry->d_name, "..") == 0)
			continue;
		st = stat_of(entry->d_name);
		EQUAL(entry->d_ino, st.st_ino);
		if (entry->d_type != DT_UNKNOWN)
			EQUAL(entry->d_type, (st.st_mode & S_IFMT) >> 12);
	}
}

static void places_in_a_folder_can_be_gone_back_to(void)
{
	static char names[MANY + 2][40];
	static long places[MANY + 2];
	DIR *entries;
	struct dirent *entry;
	int count = 0;

	make_many();
	entries = opendir(".");
	for (;;) {
		long place = telldir(entries);

		entry = readdir(entries);
		if (!entry)
			break;
		places[count] = place;
		snprintf(names[count++], sizeof(names[0]), "%.39s", entry->d_name);
	}
	EQUAL(count, MANY + 2);
	for (int i = count - 1; i >= 0; i -= 67) {
		seekdir(entries, places[i]);
		for (int k = i; k < count && k < i + 3; k++) {
			entry = readdir(entries);
			TRUE(entry != NULL);
			SAME_TEXT(entry->d_name, names[k]);
		}
	}
	rewinddir(entries);
	for (int i = 0; i < count; i++)
		TRUE(readdir(entries) != NULL);
	TRUE(readdir(entries) == NULL);
}

static void rewinding_shows_what_came_since(void)
{
	DIR *entries;
	struct dirent *entry;
	int found = 0;

	make_file("first", "");
	entries = opendir(".");
	while (readdir(entries))
		;
	make_file("second", "");
	OK(unlink("first"));
	rewinddir(entries);
	while ((entry = readdir(entries))) {
		found += strcmp(entry->d_name, "second") == 0;
		TRUE(strcmp(entry->d_name, "first") != 0);
	}
	EQUAL(found, 1);
}

static void a_folder_can_be_emptied_while_it_is_read(void)
{
	DIR *entries;
	struct dirent *entry;

	make_many();
	entries = opendir(".");
	while ((entry = readdir(entries))) {
		if (entry->d_name[0] != '.')
			OK(unlink(entry->d_name));
	}
	EQUAL(names_in("."), 0);
}

static void what_stays_is_listed_while_others_come_and_go(void)
{
	static unsigned char seen[MANY];
	DIR *entries;
	struct dirent *entry;
	char name[32];
	int extra = 0;

	make_many();
	entries = opendir(".");
	while ((entry = readdir(entries))) {
		int number = number_of(entry->d_name);

		if (number >= 0)
			EQUAL(seen[number]++, 0);
		if (number >= 0 && extra < 100) {
			snprintf(name, sizeof(name), "extra-%d", extra++);
			make_file(name, "");
			if (extra % 2)
				OK(unlink(name));
		}
	}
	for (int i = 0; i < MANY; i++)
		EQUAL(seen[i], 1);
}

static void an_empty_folder_has_two_dots(void)
{
	DIR *entries;
	struct dirent *entry;
	int count = 0;

	make_folder("folder");
	entries = opendir("folder");
	while ((entry = readdir(entries))) {
		TRUE(entry->d_name[0] == '.');
		EQUAL(entry->d_ino, stat_of(entry->d_name[1] ? "." : "folder").st_ino);
		count++;
	}
	EQUAL(count, 2);
}

/* The events of one descriptor since the last time, as the first letters of what they are. */
static void events(int fd, char *text, size_t size)
{
	char buffer[4096] __attribute__((aligned(8)));
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	size_t used = 0;

	while (poll(&poll_fd, 1, 0) > 0) {
		ssize_t got = OK(read(fd, buffer, sizeof(buffer)));

		for (char *at = buffer; at < buffer + got;) {
			struct inotify_event *event = (struct inotify_event *)(void *)at;
			static const struct {
				uint32_t mask;
				char letter;
			} letters[] = {{IN_CREATE, 'c'},   {IN_MODIFY, 'm'}, {IN_ATTRIB, 'a'},     {IN_MOVED_FROM, 'f'},
				       {IN_MOVED_TO, 't'}, {IN_DELETE, 'd'}, {IN_CLOSE_WRITE, 'w'}};

			for (size_t i = 0; i < COUNT_OF(letters) && used + 1 < size; i++) {
				if (event->mask & letters[i].mask)
					text[used++] = letters[i].letter;
			}
			at += sizeof(*event) + event->len;
		}
	}
	text[used] = '\0';
}

static void what_the_guest_does_is_watched(void)
{
	int fd = (int)OK(inotify_init1(IN_CLOEXEC | IN_NONBLOCK)), file;
	char text[32];

	OK(inotify_add_watch(fd, ".", IN_CREATE | IN_MODIFY | IN_MOVE | IN_DELETE | IN_CLOSE_WRITE));
	file = (int)OK(open("file", O_CREAT | O_WRONLY, 0644));
	EQUAL(write(file, "x", 1), 1);
	OK(close(file));
	OK(rename("file", "other"));
	OK(unlink("other"));
	events(fd, text, sizeof(text));
	SAME_TEXT(text, "cmwftd");
}

static void room_and_names_are_told(void)
{
	struct statvfs fs;

	make_file("file", "");
	OK(statvfs("file", &fs));
	TRUE(fs.f_blocks > 0 && fs.f_bsize >= 512);
	TRUE(fs.f_bavail <= fs.f_bfree && fs.f_bfree <= fs.f_blocks);
	EQUAL(fs.f_namemax, 255);
	OK(fstatvfs(opened("file", O_RDONLY), &fs));
	EQUAL(pathconf("file", _PC_NAME_MAX), 255);
}

static void all_is_one_device(void)
{
	make_file("file", "");
	make_folder("folder");
	make_file("folder/file", "");
	OK(mkfifo("folder/fifo", 0644));
	EQUAL(stat_of("file").st_dev, stat_of(".").st_dev);
	EQUAL(stat_of("folder/file").st_dev, stat_of(".").st_dev);
	EQUAL(stat_of("folder/fifo").st_dev, stat_of(".").st_dev);
}

static void the_working_folder_has_a_path(void)
{
	char path[PATH_MAX], below[PATH_MAX];

	TRUE(getcwd(path, sizeof(path)) != NULL);
	make_folder("folder");
	OK(chdir("folder"));
	OK(rename("../folder", "../moved"));
	TRUE(getcwd(below, sizeof(below)) != NULL);
	strncat(path, "/moved", sizeof(path) - strlen(path) - 1);
	SAME_TEXT(below, path);
}

static const struct posix_case cases[] = {
	CASE(every_name_is_listed_once),
	CASE(types_and_numbers_are_told),
	CASE(places_in_a_folder_can_be_gone_back_to),
	CASE(rewinding_shows_what_came_since),
	CASE(a_folder_can_be_emptied_while_it_is_read),
	CASE(what_stays_is_listed_while_others_come_and_go),
	CASE(an_empty_folder_has_two_dots),
	CASE(what_the_guest_does_is_watched),
	CASE(room_and_names_are_told),
	CASE(all_is_one_device),
	CASE(the_working_folder_has_a_path),
};
GROUP(folder);
