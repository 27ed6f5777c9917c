/*-------------------------------------------------------------------------
 *
 * failure_rule.h
 *	  Whether an error may go away by itself, and what else follows from its
 *	  SQLSTATE: rules that users change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_FAILURE_RULE_H
#define FT_FAILURE_RULE_H

typedef enum FtRuleType
{
	FT_RULE_TRANSIENT,			/* tried again */
	FT_RULE_PERMANENT,			/* rolled back */
	FT_RULE_PARTIAL,			/* compensated */
	FT_RULE_BY_WORK				/* partial where there is something to
								 * compensate, else permanent */
} FtRuleType;

typedef struct FtFailureRule
{
	const char *prefix;			/* of the SQLSTATE */
	const char *fault;			/* node, network, data or resource */
	FtRuleType	type;
	const char *meaning;		/* or NULL */
	bool		changed;		/* not as it was shipped */
} FtFailureRule;

/* The rules of this database, in the current context. */
typedef struct FtFailureRules
{
	int			n;
	FtFailureRule *all;
} FtFailureRules;

extern FtFailureRules *ft_failure_rules_read(void);

/* The rule that an SQLSTATE (five characters) falls under; there is always one. */
extern const FtFailureRule *ft_failure_rule(const FtFailureRules *rules, const char *sqlstate);

/* Whether an error of this SQLSTATE may go away by itself. */
extern bool ft_sqlstate_is_transient(const char *sqlstate);

#endif							/* FT_FAILURE_RULE_H */
