/* What is measured with many files, without a shell's own time in it: many create|stat|list|unlink|tree FOLDER COUNT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTINGS 10
#define IN_EACH  100 /* files of a folder of a tree */

static void create(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0 || close(fd) < 0)
		exit(1);
}

static void look(const char *name)
{
	struct stat status;

	if (stat(name, &status) < 0)
		exit(1);
}

static void take_away(const char *name)
{
	if (unlink(name) < 0)
		exit(1);
}

static void each(long count, void (*what)(const char *name))
{
	char name[32];

	for (long i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "file-%ld", i);
		what(name);
	}
}

static void list(long count)
{
	for (int i = 0; i < LISTINGS; i++) {
		DIR *folder = opendir(".");
		long found = -2;

		while (folder && readdir(folder))
			found++;
		if (!folder || closedir(folder) < 0 || found != count)
			exit(1);
	}
}

static void tree(long count)
{
	char name[32];

	for (long i = 0; i < count / IN_EACH; i++) {
		snprintf(name, sizeof(name), "folder-%ld", i);
		if (mkdir(name, 0755) < 0 || chdir(name) < 0)
			exit(1);
		each(IN_EACH, create);
		if (chdir("..") < 0)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	long count = argc == 4 ? atol(argv[3]) : 0;

	if (count <= 0 || chdir(argv[2]) < 0)
		return 1;
	if (strcmp(argv[1], "create") == 0)
		each(count, create);
	else if (strcmp(argv[1], "stat") == 0)
		each(count, look);
	else if (strcmp(argv[1], "list") == 0)
		list(count);
	else if (strcmp(argv[1], "unlink") == 0)
		each(count, take_away);
	else
		tree(count);
	return 0;
}
