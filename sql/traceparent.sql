-- The trace that a statement belongs to: in a comment of the query, as
-- sqlcommenter puts it, or in the application name.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS fault_tolerance;
RESET client_min_messages;
\set id '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

SELECT ft.traceparent('SELECT 1 /*traceparent=''' || :'id' || '''*/') = :'id' AS at_the_end,
       ft.traceparent('/*action=''x'',traceparent=''' || :'id' || '''*/ SELECT 1') = :'id' AS in_front,
       ft.traceparent('SELECT 1 /* traceparent = ' || :'id' || ' */') = :'id' AS unquoted,
       ft.traceparent('SELECT 1 /*traceparent=%27' || :'id' || '%27*/') = :'id' AS encoded,
       ft.traceparent('SELECT 1 /* a /* b */ traceparent=''' || :'id' || '''*/') = :'id' AS nested;
SELECT ft.traceparent('SELECT 1', 'shop ' || :'id') = :'id' AS in_the_name,
       ft.traceparent(NULL, :'id') = :'id' AS is_the_name,
       ft.traceparent('SELECT 1 /*traceparent=''' || :'id' || '''*/',
                      replace(:'id', '4bf9', '0000')) = :'id' AS query_first;

-- What is no comment says nothing: it may be anybody's data.
SELECT query, ft.traceparent(query) IS NULL AS none
  FROM (VALUES
        ('SELECT ''/*traceparent=' || :'id' || '*/'''),
        ('SELECT E''\''/*traceparent=' || :'id' || '*/'''),
        ('SELECT E''a''''b\''/*traceparent=' || :'id' || '*/'''),
        ('SELECT E''a''' || chr(10) || '-- it''s' || chr(10) || '''b\''/*traceparent=' || :'id' || '*/'''),
        ('SELECT date''x\'', ''/*traceparent=' || :'id' || '*/'''),
        ('SELECT U&"x" UESCAPE''\'', ''/*traceparent=' || :'id' || '*/'''),
        ('SELECT $$/*traceparent=' || :'id' || '*/$$'),
        ('SELECT $a$ $$ /*traceparent=' || :'id' || '*/$a$'),
        ('SELECT 1 AS "/*traceparent=' || :'id' || '*/"'),
        ('SELECT 1 -- /*traceparent=' || :'id' || '*/'),
        ('SELECT traceparent=' || :'id')) AS t (query);
SELECT ft.traceparent('SELECT ''it''''s'', $1 -- it''s' || chr(10) || '/*traceparent=''' || :'id' || '''*/') = :'id'
       AS behind_quotes,
       ft.traceparent('SELECT a$b$c FROM date$ /*traceparent=''' || :'id' || '''*/') = :'id' AS dollars_in_names,
       ft.traceparent('SELECT E''a\\'' ''b\'' /*traceparent=''' || :'id' || '''*/') = :'id' AS not_continued;

-- Not one: wrong length, letters, an id of zeros, the version that is none.
SELECT id, ft.traceparent('SELECT 1 /*traceparent=''' || id || '''*/') IS NULL AS none,
       ft.traceparent(NULL, id) IS NULL AS none_in_name
  FROM (VALUES (''), ('00'), ('00-'), (left(:'id', 54)), (:'id' || '0'), (upper(:'id')),
               (overlay(:'id' placing repeat('0', 32) from 4)),
               (overlay(:'id' placing repeat('0', 16) from 37)),
               (overlay(:'id' placing 'ff' from 1)),
               (overlay(:'id' placing '+' from 36))) AS t (id);
SELECT ft.traceparent(NULL), ft.traceparent('', ''), ft.traceparent('/*traceparent'), ft.traceparent('/*traceparent=');
SELECT ft.traceparent(repeat('''', 100001) || repeat('/*', 100000) || repeat('$', 100000) || 'traceparent');
