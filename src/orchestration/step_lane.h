/*-------------------------------------------------------------------------
 *
 * step_lane.h
 *	  Where due steps stand.
 *
 * Due steps stand in lanes: one for each queue and priority of an owner, in
 * the order in which they became due.  The head of each lane is found by the
 * index of lanes, so that looking costs as much as there are lanes, however
 * many steps wait in them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FT_STEP_LANE_H
#define FT_STEP_LANE_H

#define FT_DUE		"due_at IS NOT NULL AND execution_mode <> 'external'"
#define FT_UNSUSPECTED FT_DUE " AND suspicion IS NULL"
#define FT_LANE_RANK	"(- priority::integer)"

/*
 * The head of each lane, of one owner or of all; a lane comes after another by
 * key_ and after_.  What is said to be equal must not be part of these: an
 * index scan that finds where to begin by an equal column reads all of it.
 */
#define FT_LANES(of_owner_, key_, after_) \
	"WITH RECURSIVE lane AS (" \
	" (SELECT owner_oid, queue, " FT_LANE_RANK " AS rank, due_at" \
	"    FROM ft.orchestration_tasks" \
	"   WHERE " FT_UNSUSPECTED of_owner_ \
	"   ORDER BY owner_oid, queue, " FT_LANE_RANK ", due_at LIMIT 1)" \
	" UNION ALL" \
	" SELECT next.owner_oid, next.queue, next.rank, next.due_at" \
	"   FROM lane, LATERAL" \
	"        (SELECT owner_oid, queue, " FT_LANE_RANK " AS rank, due_at" \
	"           FROM ft.orchestration_tasks" \
	"          WHERE " FT_UNSUSPECTED of_owner_ \
	"            AND (" key_ ") > (" after_ ")" \
	"          ORDER BY owner_oid, queue, " FT_LANE_RANK ", due_at LIMIT 1) AS next) "

#endif							/* FT_STEP_LANE_H */
