/* annex completion: the shells' side of `annex __complete`, which knows everything else. */
#include "base/text.h"
#include "cli/command.h"

#include <stdio.h>

struct completion_options {
	const char *shell;
};

static const struct option options[] = {
	{OPTION_WORD, 0, NULL, offsetof(struct completion_options, shell), "bash|zsh|fish", "the shell",
	 COMPLETES_CHOICES},
	{OPTION_END, 0, NULL, 0, NULL, NULL, COMPLETES_NOTHING},
};

/* Readline breaks words at = and :, so the words are put together again from the line, and what it takes for the part
 * before the word is cut off the candidates. */
static const char bash[] = "# bash completion for annex; written by 'annex completion bash'\n"
			   "_annex() {\n"
			   "	local line=${COMP_LINE:0:COMP_POINT} word words=() glued i candidate cut cur\n"
			   "	for ((i = 0; i <= COMP_CWORD; i++)); do\n"
			   "		glued=yes\n"
			   "		[[ $line == [[:space:]]* ]] || ((i == 0)) && glued=no\n"
			   "		line=${line#\"${line%%[![:space:]]*}\"}\n"
			   "		word=${COMP_WORDS[i]:0:${#line}}\n"
			   "		line=${line:${#word}}\n"
			   "		if [[ $glued == yes ]]; then\n"
			   "			words[${#words[@]}-1]+=$word\n"
			   "		else\n"
			   "			words+=(\"$word\")\n"
			   "		fi\n"
			   "	done\n"
			   "	cur=${words[${#words[@]}-1]}\n"
			   "	cut=${cur%\"${cur##*[=:]}\"}\n"
			   "	for ((i = 1; i < ${#words[@]} - 1; i++)); do\n"
			   "		words[i]=${words[i]//[\\\"\\'\\\\]/}\n"
			   "	done\n"
			   "	COMPREPLY=()\n"
			   "	while IFS= read -r candidate; do\n"
			   "		case $candidate in\n"
			   "		:files*) compopt -o default ;;\n"
			   "		:folders*) compopt -o default -o dirnames ;;\n"
			   "		*)\n"
			   "			candidate=${candidate%%$'\\t'*}\n"
			   "			[[ $candidate == *[=:] ]] && compopt -o nospace\n"
			   "			COMPREPLY+=(\"${candidate#\"$cut\"}\")\n"
			   "			;;\n"
			   "		esac\n"
			   "	done < <(\"${words[0]}\" __complete -- \"${words[@]:1}\" 2>/dev/null)\n"
			   "}\n"
			   "complete -F _annex annex\n";

static const char zsh[] = "#compdef annex\n"
			  "# zsh completion for annex; written by 'annex completion zsh'\n"
			  "_annex() {\n"
			  "	local line candidate prefix\n"
			  "	local -a plain plain_shown open open_shown asked\n"
			  "	asked=(\"${(@Q)words[2,CURRENT-1]}\" \"${(Q)PREFIX}\")\n"
			  "	while IFS= read -r line; do\n"
			  "		case $line in\n"
			  "		:files*|:folders*)\n"
			  "			prefix=${line#* }\n"
			  "			[[ -n $prefix ]] && compset -P \"${(q)prefix}\"\n"
			  "			if [[ $line == :folders* ]]; then _files -/; else _files; fi\n"
			  "			;;\n"
			  "		*)\n"
			  "			candidate=${line%%$'\\t'*}\n"
			  "			line=${line//$'\\t'/ -- }\n"
			  "			if [[ $candidate == *[=:] ]]; then\n"
			  "				open+=(\"$candidate\") open_shown+=(\"$line\")\n"
			  "			else\n"
			  "				plain+=(\"$candidate\") plain_shown+=(\"$line\")\n"
			  "			fi\n"
			  "			;;\n"
			  "		esac\n"
			  "	done < <(\"${(Q)words[1]}\" __complete -- \"${asked[@]}\" 2>/dev/null)\n"
			  "	(($#plain)) && compadd -l -d plain_shown -a plain\n"
			  "	(($#open)) && compadd -l -S '' -d open_shown -a open\n"
			  "}\n"
			  "if [[ $funcstack[1] == _annex ]]; then\n"
			  "	_annex \"$@\"\n"
			  "else\n"
			  "	compdef _annex annex\n"
			  "fi\n";

static const char fish[] =
	"# fish completion for annex; written by 'annex completion fish'\n"
	"function __annex_complete\n"
	"	set -l words (commandline -opc)\n"
	"	set -l current (commandline -ct)\n"
	"	for line in ($words[1] __complete -- $words[2..-1] $current 2>/dev/null)\n"
	"		if string match -q -r '^:(files|folders) ' -- $line\n"
	"			set -l prefix (string replace -r '^:[a-z]+ ' '' -- $line)\n"
	"			set -l rest (string sub -s (math (string length -- \"$prefix\") + 1) -- \"$current\")\n"
	"			for path in (__fish_complete_path \"$rest\")\n"
	"				echo -- $prefix$path\n"
	"			end\n"
	"		else\n"
	"			echo -- $line\n"
	"		end\n"
	"	end\n"
	"end\n"
	"complete -c annex -f -a '(__annex_complete)'\n";

static const struct {
	const char *name;
	const char *script;
} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

static int run(struct cli *cli, const void *parsed, struct annex_error **err)
{
	const struct completion_options *wanted = parsed;

	(void)cli;
	for (size_t i = 0; i < COUNT_OF(shells); i++) {
		if (text_equal(shells[i].name, wanted->shell)) {
			fputs(shells[i].script, stdout);
			return 0;
		}
	}
	fail(err, ANNEX_ERROR_USAGE, "completion: no completion for '%s', only for bash, zsh and fish", wanted->shell);
	return fail_hint(err, "annex completion bash");
}

const struct command completion_command = {
	.name = "completion",
	.section = "Other",
	.summary = "print a shell's completion script",
	.description =
		"Prints the script that makes a shell complete commands, options, and names of machines, images and "
		"kernels.",
	.example = "source <(annex completion bash)\n"
		   "annex completion zsh >\"${fpath[1]}/_annex\"\n"
		   "annex completion fish >~/.config/fish/completions/annex.fish",
	.options = options,
	.size = sizeof(struct completion_options),
	.flags = COMMAND_ALONE,
	.run = run,
};
