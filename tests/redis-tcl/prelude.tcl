# Runs one unit of Redis' own tests against a Forebay that is there already, and prints what became of each test.
#
#     tclsh prelude.tcl PORT DATABASE WORLD UNIT SKIPPED      (in the root of Redis' sources)
#
# SKIPPED is a file with the names of tests that are passed over, one per line. What is printed is said in
# results.tcl. README.md gives the reasons for what is changed here, and says what is not.

lassign $argv forebay_port forebay_database forebay_world forebay_unit forebay_skipped
source [file join [file dirname [info script]] results.tcl]

package require sqlite3
sqlite3 forebay_rows $forebay_database
forebay_rows timeout 10000

# The columns of a hash keyspace are fixed, so what the unit of hashes would draw at random is counted here.
if {$forebay_world eq "hash"} {
    lappend forebay_words randstring
    set forebay_drawn 0
    tcl_proc randstring {args} {
        return "f[incr ::forebay_drawn]"
    }
}

tcl_proc forebay_change_client {} {
    # FLUSHALL and FLUSHDB leave rows where they are; the suite wants an empty world, so the rows go first.
    rename ::redis::__dispatch__raw__ ::redis::forebay_send
    tcl_proc ::redis::__dispatch__raw__ {id method arguments} {
        if {[string tolower $method] in {flushall flushdb}} {
            forebay_rows eval {DELETE FROM kv; DELETE FROM myhash; DELETE FROM hash}
        }
        uplevel 1 [list ::redis::forebay_send $id $method $arguments]
    }
    # What a unit prepares between its tests may be refused (a list, a script): the tests that need it then fail by
    # themselves, and the others can run.
    rename r forebay_r
    tcl_proc r {args} {
        set failed [catch {uplevel 1 [list forebay_r {*}$args]} result]
        if {$failed && $::cur_test ne ""} {
            return -code error $result
        }
        return $result
    }
}

forebay_run $forebay_port $forebay_unit "-needs:debug -needs:repl -large-memory" $forebay_skipped
