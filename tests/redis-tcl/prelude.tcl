# Runs one unit of Redis' own tests against a Forebay that is there already, and prints what became of each test.
#
#     tclsh prelude.tcl PORT DATABASE WORLD UNIT SKIPPED      (in the root of Redis' sources)
#
# SKIPPED is a file with the names of tests that are passed over, one per line. A result is a line: "ok", "err", "skip"
# or "ignore", a tab, the name, and after another tab what went wrong. README.md gives the reasons for what is changed
# here, and says what is not.

lassign $argv forebay_port forebay_database forebay_world forebay_unit forebay_skipped

package require sqlite3
sqlite3 forebay_rows $forebay_database
forebay_rows timeout 10000

# ---- words of the suite that are ours: its own definitions of them are passed over

rename proc tcl_proc
tcl_proc proc {name arguments body} {
    if {$name ni $::forebay_words} {
        uplevel 1 [list tcl_proc $name $arguments $body]
    }
}
set forebay_words {send_data_packet test_client_main}

# Results are printed instead of being sent to a second Tcl process.
tcl_proc send_data_packet {channel status data {elapsed 0}} {
    if {$status in {ok err skip ignore}} {
        set lines [split $data "\n"]
        set name [regsub { in tests/unit/[a-z0-9/-]*\.tcl$} [lindex $lines 0] {}]
        if {$status eq "err" && $name eq [lindex $lines 0]} {
            set name "(between its tests)"
        }
        puts "$status\t$name\t[join [lrange $lines 1 end] { | }]"
        flush stdout
    }
    # A test that broke off inside a transaction, with replies unread or in a pause would take the next ones with it.
    if {$status eq "err"} {
        catch {reconnect; r client unpause}
    }
}

tcl_proc test_client_main {_} {
    set ::test_server_fd stdout
    expr {srand(20261123)}
    forebay_change_client
    execute_test_file $::forebay_unit
    puts "end\t$::forebay_unit\t"
    exit 0
}

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

set argv [list --host 127.0.0.1 --port $forebay_port --single $forebay_unit --singledb --ignore-encoding \
    --ignore-digest --durable --tags "-needs:debug -needs:repl -large-memory" --client 0 \
    --skipfile $forebay_skipped]
source tests/test_helper.tcl
