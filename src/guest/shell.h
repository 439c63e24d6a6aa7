#pragma once
#include <stdbool.h>

/* Whether somebody can log in with it: a program, and not one that only turns people away. With the disk as root. */
bool shell_works(const char *path);

/*
 * The shell of a new account: the host's if the image has it, be it in another folder; else what the image gives to new
 * accounts; else bash, or sh. The caller frees it; NULL when memory ran out. With the disk as root.
 */
char *shell_choose(const char *wanted);

/* The value of a line KEY=VALUE, without its quotes; NULL if there is none, or when memory ran out. The caller frees
 * it. Pure. */
char *shell_setting(const char *text, const char *key);
