#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One row per option or word of a command. The rows drive parsing, help and completion. A row without help is another
 * spelling of the row above it. `at` is the offset of what it sets in the command's own structure, which starts zeroed.
 */
enum option_type {
	OPTION_END,
	OPTION_FLAG,          /* bool */
	OPTION_TEXT,          /* const char * */
	OPTION_CHOICE,        /* const char *, one of the words in `value`, which are separated by | */
	OPTION_NUMBER,        /* struct option_number */
	OPTION_SIZE,          /* struct option_number, accepts 512M, 4G */
	OPTION_LIST,          /* struct option_list, may be repeated */
	OPTION_WORD,          /* const char *, a word that must be there */
	OPTION_WORD_OPTIONAL, /* const char * */
	OPTION_WORDS,         /* struct option_list, all remaining words */
	OPTION_WORDS_SOME,    /* the same, at least one */
	OPTION_REST,          /* struct option_list: the first word and all behind it, verbatim */
};

enum option_completes {
	COMPLETES_NOTHING,
	COMPLETES_FILE,
	COMPLETES_FOLDER,
	COMPLETES_MACHINE,
	COMPLETES_IMAGE,
	COMPLETES_SOURCE, /* of an image: oci:… */
	COMPLETES_IMAGE_OR_SOURCE,
	COMPLETES_KERNEL,
	COMPLETES_NETWORK,
	COMPLETES_UPLINK,   /* or a network: what the setting takes */
	COMPLETES_REGISTRY, /* that there are credentials for */
	COMPLETES_SETTING,
	COMPLETES_COMMAND,
	COMPLETES_VOLUME,  /* HOST:GUEST[:OPTIONS] */
	COMPLETES_GUEST,   /* GUEST[:OPTIONS], the word before being HOST */
	COMPLETES_SHARE,   /* of a machine, by its path there */
	COMPLETES_SESSION, /* of a machine, that runs */
	COMPLETES_SIGNAL,
	COMPLETES_PORT,    /* of a machine, that is published */
	COMPLETES_CHOICES, /* the words in `value` */
};

struct option_number {
	bool set;
	uint64_t value;
};

struct option_list {
	const char **words; /* NULL-terminated, or NULL when empty; the words are the command line's */
	size_t count;
};

struct option {
	enum option_type type;
	char letter;
	const char *name; /* without the dashes; NULL: only a letter, or a word */
	size_t at;
	const char *value; /* in help: "SIZE" */
	const char *help;
	enum option_completes completes;
};

bool option_is_word(const struct option *row);
bool option_takes_value(const struct option *row);
/* "--name", or the `length` first bytes of it; NULL when there is none. */
const struct option *option_find_name(const struct option *rows, const char *name, size_t length);
const struct option *option_find_letter(const struct option *rows, char letter);
/* The row for the word number `index` of a command line, or NULL. */
const struct option *option_find_word(const struct option *rows, size_t index);

/* Fill `into` from the NULL-terminated words. 1: help was asked for. Errors: USAGE. Free what it holds with
 * option_clear(), also after a failure. */
MUST_USE int option_parse(void *into, const struct option *rows, const char *const *words, struct annex_error **err);
void option_clear(void *into, const struct option *rows);
