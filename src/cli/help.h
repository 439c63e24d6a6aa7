#pragma once
#include "base/text.h"
#include "cli/command.h"

/* Help texts, never wider than HELP_COLUMNS. */
#define HELP_COLUMNS 80

void help_add_overview(struct text *text);
void help_add_group(struct text *text, const char *group); /* "image": its commands */
/* A name and what it means, in two columns. */
void help_add_row(struct text *text, const char *left, const char *right);
void help_add_command(struct text *text, const struct command *command);
/* Words of `text` in lines from column `indent` on; the first line starts at column `column`. Newlines are kept. */
void help_add_wrapped(struct text *text, const char *words, size_t column, size_t indent);
