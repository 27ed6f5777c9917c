/*-------------------------------------------------------------------------
 *
 * two_phase.h
 *	  Prepared transactions that made work due for a worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_TWO_PHASE_H
#define FT_TWO_PHASE_H

/* One prepared transaction, in shared memory; free where the key is 0. */
typedef struct FtTwoPhase
{
	Oid			dboid;
	uint64		key;
	bool		work;			/* it made some due */
	bool		roles;			/* it renamed or dropped some */
} FtTwoPhase;

struct FtShared;
extern Size ft_two_phase_size(void);
extern void ft_two_phase_create(struct FtShared *shared, char *memory);

extern uint64 ft_two_phase_key(const char *gid);
extern void ft_two_phase_note(Oid dboid, uint64 key, bool work, bool roles);
extern bool ft_two_phase_take(Oid dboid, uint64 key, bool *roles);
extern bool ft_two_phase_unknown(Oid dboid);

#endif							/* FT_TWO_PHASE_H */
