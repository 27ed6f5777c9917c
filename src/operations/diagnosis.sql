/* What is wrong, why, and what mends it.  See diagnosis.c. */

CREATE FUNCTION ft.diagnose(
    symptoms boolean DEFAULT false,
    OUT severity text,
    OUT finding text,
    OUT symptom text,
    OUT cause text,
    OUT affected text[],
    OUT impact text,
    OUT fix_sql text,
    OUT evidence jsonb,
    OUT caused_by text[],
    OUT leads_to text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_diagnose'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE ROWS 10;

COMMENT ON FUNCTION ft.diagnose(boolean) IS
'what is wrong in the server, the worst first: each root with what it leads to as its evidence, and the SQL that mends it; with symptoms, each of these in a row of its own';

CREATE FUNCTION ft.diagnosis_rules(
    OUT finding text,
    OUT leads_to text[],
    OUT needs_preload boolean,
    OUT primary_only boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'ft_diagnosis_rule_list'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED ROWS 25;

COMMENT ON FUNCTION ft.diagnosis_rules() IS
'the findings that ft.diagnose() knows, and what each can lead to';

-- Rows come in the order of the function, which a plain scan keeps.
CREATE VIEW ft.diagnosis AS
SELECT d.severity,
       d.finding,
       left(d.symptom, 72) AS symptom,
       left(array_to_string(d.leads_to, ', '), 48) AS "leads to"
  FROM ft.diagnose() AS d;

COMMENT ON VIEW ft.diagnosis IS
'ft.diagnose() for reading in psql; its column fix_sql has what mends it';

REVOKE ALL ON FUNCTION ft.diagnose(boolean), ft.diagnosis_rules() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ft.diagnose(boolean), ft.diagnosis_rules() TO pg_monitor;
GRANT SELECT ON ft.diagnosis TO pg_monitor;

