# Runs one unit of Redis' own tests against a Forebay with a Redis behind it, and prints what became of each test.
#
#     tclsh driver.tcl PORT STORE-PORT UNIT SKIPPED      (in the root of Redis' sources)
#
# SKIPPED is a file with the names of tests that are passed over, one per line. A result is a line: "ok", "err", "skip"
# or "ignore", a tab, the name, and after another tab what went wrong.
#
# Two things are changed. Results are printed instead of being sent to a second Tcl process. And CONFIG, DEBUG and INFO,
# which concern the server that keeps the data, go to that server: an operator would ask it directly, too.

lassign $argv interop_port interop_store interop_unit interop_skipped

rename proc tcl_proc
tcl_proc proc {name arguments body} {
    if {$name ni {send_data_packet test_client_main}} {
        uplevel 1 [list tcl_proc $name $arguments $body]
    }
}

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
    # A test that broke off inside a transaction or with replies unread would take the next ones with it.
    if {$status eq "err"} {
        catch {reconnect; r client unpause}
    }
}

tcl_proc test_client_main {_} {
    set ::test_server_fd stdout
    expr {srand(20261123)}
    interop_divert
    execute_test_file $::interop_unit
    puts "end\t$::interop_unit\t"
    exit 0
}

tcl_proc interop_divert {} {
    rename ::redis::__dispatch__raw__ ::redis::interop_send
    set ::interop_direct [redis 127.0.0.1 $::interop_store 0 0]
    tcl_proc ::redis::__dispatch__raw__ {id method arguments} {
        if {[string tolower $method] in {config debug info} && $::redis::blocking($id) && !$::redis::deferred($id)
            && "::redis::redisHandle$id" ne $::interop_direct} {
            return [$::interop_direct $method {*}$arguments]
        }
        uplevel 1 [list ::redis::interop_send $id $method $arguments]
    }
}

set argv [list --host 127.0.0.1 --port $interop_port --single $interop_unit --singledb --ignore-encoding \
    --ignore-digest --durable --tags "-needs:repl -needs:reset -large-memory -slow" --client 0 --skipfile $interop_skipped]
source tests/test_helper.tcl
