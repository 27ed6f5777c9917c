/*-------------------------------------------------------------------------
 *
 * errors.h
 *	  Errors that more than one subject raises, and the SQLSTATE of each kind.
 *
 * Every kind of refusal has an SQLSTATE of its own, so that a caller can tell
 * them apart without reading text, which is translated:
 *
 *	  unknown execution, task, checkpoint	42704 undefined_object
 *	  unknown failure type, bad argument	22023 invalid_parameter_value
 *	  a task of another execution			23503 foreign_key_violation
 *	  not possible in this status			23514 check_violation
 *	  the attempt is no longer the current	55006 object_in_use
 *	  somebody else's execution				42501 insufficient_privilege
 *	  library not preloaded					55000 object_not_in_prerequisite_state
 *	  no checkpoint to recover from			P0002 no_data_found
 *	  a signal did not come in time			57P05 idle_session_timeout
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_ERRORS_H
#define FT_ERRORS_H

#define FT_ERRCODE_UNKNOWN_OBJECT	ERRCODE_UNDEFINED_OBJECT
#define FT_ERRCODE_BAD_ARGUMENT		ERRCODE_INVALID_PARAMETER_VALUE
#define FT_ERRCODE_FOREIGN_TASK		ERRCODE_FOREIGN_KEY_VIOLATION
#define FT_ERRCODE_WRONG_STATUS		ERRCODE_CHECK_VIOLATION
#define FT_ERRCODE_STALE_ATTEMPT	ERRCODE_OBJECT_IN_USE
#define FT_ERRCODE_NOT_OWNER		ERRCODE_INSUFFICIENT_PRIVILEGE
#define FT_ERRCODE_NOT_PRELOADED	ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
#define FT_ERRCODE_NO_CHECKPOINT	ERRCODE_NO_DATA_FOUND
#define FT_ERRCODE_WAIT_TIMEOUT		ERRCODE_IDLE_SESSION_TIMEOUT

/* Raise an error unless shared memory of the extension is there. */
extern void ft_require_preload(const char *what);

#endif							/* FT_ERRORS_H */
