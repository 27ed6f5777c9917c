/*-------------------------------------------------------------------------
 *
 * help.c
 *	  What to type when.
 *
 * A question is taken apart into words.  An entry is found by each of them that
 * begins as one of its own words does, so that "blocked" finds "blocks"; those
 * with the most come first.
 *
 * Locking: none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "help.h"

PG_FUNCTION_INFO_V1(ft_help);

#define COLUMNS 4

/* A question has few words; the rest of a longer one is not looked at. */
#define MAX_WORDS 50

/* Words shorter than this have to be the same. */
#define MIN_STEM 4
#define MAX_ENDING 2

/* What stands in questions of any kind. */
static const char *const filler[] = {
	"a", "all", "am", "an", "and", "any", "are", "at", "be", "been", "by", "can", "did",
	"do", "does", "for", "from", "get", "has", "have", "how", "i", "in", "is", "it", "its",
	"me", "my", "not", "of", "on", "or", "out", "so", "that", "the", "their", "there", "they", "this",
	"to", "too", "was", "we", "what", "when", "where", "which", "who", "whom", "why", "will", "with", "you", "your"
};

typedef struct Words
{
	char	   *word[MAX_WORDS];
	int			count;
} Words;

typedef struct Match
{
	const FtHelpEntry *entry;
	int			score;
} Match;

static bool
is_filler(const char *word)
{
	for (int i = 0; i < (int) lengthof(filler); i++)
	{
		if (strcmp(filler[i], word) == 0)
			return true;
	}
	return false;
}

/* Bytes past ASCII belong to words, whatever they mean in the encoding. */
static bool
in_word(char c)
{
	return isalnum((unsigned char) c) || IS_HIGHBIT_SET(c);
}

/* Take a text apart into its words, in lower case, without those that say nothing. */
static void
take_apart(const char *text, Words *words)
{
	const char *p = text;

	words->count = 0;
	while (*p != '\0' && words->count < MAX_WORDS)
	{
		const char *start;
		char	   *word;

		while (*p != '\0' && !in_word(*p))
			p++;
		start = p;
		while (in_word(*p))
			p++;
		if (p == start)
			break;
		word = pnstrdup(start, p - start);
		for (char *c = word; *c != '\0'; c++)
			*c = pg_ascii_tolower((unsigned char) *c);
		if (!is_filler(word))
			words->word[words->count++] = word;
	}
}

/* Do two words begin alike, but for an ending as in blocks and blocked? */
static bool
same_stem(const char *a, const char *b)
{
	size_t		shorter = Min(strlen(a), strlen(b));
	size_t		alike = 0;

	while (alike < shorter && a[alike] == b[alike])
		alike++;
	if (a[alike] == '\0' && b[alike] == '\0')
		return true;
	return alike >= MIN_STEM && alike + MAX_ENDING >= shorter &&
		(alike == shorter || alike > MIN_STEM);
}

static bool
has_word(const char *text, const char *word)
{
	Words		words;

	take_apart(text, &words);
	for (int i = 0; i < words.count; i++)
	{
		if (same_stem(words.word[i], word))
			return true;
	}
	return false;
}

/* How many words of the question an entry has; its own question counts most. */
static int
score(const FtHelpEntry *entry, const Words *asked)
{
	int			result = 0;

	for (int i = 0; i < asked->count; i++)
	{
		if (has_word(entry->question, asked->word[i]))
			result += 4;
		else if (has_word(entry->words, asked->word[i]))
			result += 3;
		else if (has_word(entry->type, asked->word[i]) ||
				 has_word(entry->explanation, asked->word[i]))
			result += 1;
	}
	return result;
}

static int
compare_matches(const ListCell *a, const ListCell *b)
{
	const Match *left = (const Match *) lfirst(a);
	const Match *right = (const Match *) lfirst(b);

	if (left->score != right->score)
		return right->score - left->score;
	return (left->entry > right->entry) - (left->entry < right->entry);
}

/* The entries for a question, the best first; all if there is none. */
static List *
look_up(const char *question)
{
	List	   *found = NIL;
	List	   *all = NIL;
	Words		asked;

	take_apart(question, &asked);
	for (const FtHelpEntry *entry = ft_help_entries; entry->question != NULL; entry++)
	{
		Match	   *match = palloc(sizeof(Match));

		match->entry = entry;
		match->score = score(entry, &asked);
		all = lappend(all, match);
		if (match->score >= 3)
			found = lappend(found, match);
	}
	if (found == NIL)
	{
		ListCell   *cell;

		/* no word stands in a question: those in an explanation do */
		foreach(cell, all)
		{
			if (((Match *) lfirst(cell))->score > 0)
				found = lappend(found, lfirst(cell));
		}
	}
	if (found == NIL)
		return all;
	list_sort(found, compare_matches);
	return found;
}

/*
 * ft.help(question text)
 */
Datum
ft_help(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *question = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, look_up(question))
	{
		const FtHelpEntry *entry = ((const Match *) lfirst(cell))->entry;
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {0};

		values[0] = CStringGetTextDatum(entry->question);
		values[1] = CStringGetTextDatum(entry->type);
		values[2] = CStringGetTextDatum(entry->explanation);
		values[3] = CStringGetTextDatum(psprintf("doc/%s", entry->page));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
