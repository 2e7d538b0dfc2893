//! The texts of the interface in every language we have. A missing one does not compile.

use leptos::prelude::*;

use crate::prefs::Lang;

macro_rules! catalogue {
    ($( $name:ident: $en:literal, $zh:literal; )*) => {
        /// Every text. `{0}`, `{1}` stand for values, see [`fill`].
        #[derive(Debug)]
        pub struct Texts {
            pub lang: Lang,
            $( pub $name: &'static str, )*
        }
        static EN: Texts = Texts { lang: Lang::En, $( $name: $en, )* };
        static ZH: Texts = Texts { lang: Lang::Zh, $( $name: $zh, )* };
    };
}

/// The texts of the page's language.
pub fn t() -> &'static Texts {
    use_context::<&'static Texts>().unwrap_or(&EN)
}

pub fn texts_of(lang: Lang) -> &'static Texts {
    match lang {
        Lang::En => &EN,
        Lang::Zh => &ZH,
    }
}

/// Puts values in the places `{0}`, `{1}`, … of a text.
pub fn fill(text: &str, values: &[&str]) -> String {
    let mut out = text.to_owned();
    for (i, value) in values.iter().enumerate() {
        out = out.replace(&format!("{{{i}}}"), value);
    }
    out
}

catalogue! {
    // Frame and places
    skip: "Skip to content", "跳到内容";
    main_navigation: "Main", "主导航";
    phone_navigation: "Main, short", "主导航（简）";
    jobs: "Jobs", "作业";
    services: "Services", "服务";
    evaluations: "Evaluations", "评估";
    evaluations_short: "Evals", "评估";
    clients: "Clients", "客户端";
    servers: "Servers", "服务器";
    topology: "Topology", "拓扑";
    allocations: "Allocations", "分配";
    search: "Search", "搜索";
    search_or_run: "Search or run a command", "搜索或执行命令";
    results: "Results", "结果";
    choose: "choose", "选择";
    open: "open", "打开";
    go_to: "Go to", "前往";
    in_jobs: "In jobs", "作业之内";
    nothing_found: "Nothing found", "没有找到";
    live: "Live", "实时";
    not_live: "As of now", "当前";
    reconnecting: "Reconnecting", "正在重连";
    polling: "Every 2 s", "每 2 秒";
    live_title: "events arrive as they happen", "事件实时到达";
    index: "index", "索引";
    theme: "Theme", "主题";
    breadcrumb: "Breadcrumb", "位置";
    tabs: "Sections", "分区";
    not_built: "This page is not live: the browser's part was not built. Run", "本页面不会实时更新：浏览器部分尚未构建。请运行";
    close: "Close", "关闭";
    cancel: "Cancel", "取消";
    question: "Question", "确认";
    copied: "Copied", "已复制";
    copy_failed: "The browser does not let pages copy", "浏览器不允许复制";
    copy_command: "Copy command", "复制命令";
    loading: "Loading", "加载中";
    none: "none", "无";
    no_such_page: "No such page", "没有这个页面";
    no_such_page_text: "There is nothing at this address.", "此地址没有内容。";
    to_the_jobs: "To the jobs", "返回作业列表";
    // Failures
    not_found: "Not found", "未找到";
    forbidden: "Not permitted", "没有权限";
    unreachable: "The server does not answer", "服务器没有响应";
    went_wrong: "Something went wrong", "出错了";
    try_again: "Try again", "重试";
    server_silent: "The server does not answer. What is shown may be old.", "服务器没有响应。显示的内容可能已过时。";
    no_reason: "The server gave no reason.", "服务器没有说明原因。";
    unexpected: "The server's answer is not what this page expects", "服务器的回答与本页面的预期不符";
    // Words of states, alone and for many
    running: "Running", "运行中";
    starting: "Starting", "启动中";
    stopping: "Stopping", "停止中";
    stopped: "Stopped", "已停止";
    complete: "Complete", "已完成";
    failed: "Failed", "失败";
    lost: "Lost", "已丢失";
    unknown: "Unknown", "未知";
    pending: "Pending", "等待中";
    blocked: "Blocked", "受阻";
    degraded: "Degraded", "已降级";
    deploying: "Deploying", "部署中";
    canary: "Canary", "金丝雀";
    scheduled: "Scheduled", "已排程";
    ready: "Ready", "就绪";
    restarting: "Restarting", "重启中";
    healthy: "healthy", "健康";
    unhealthy: "unhealthy", "不健康";
    draining: "Draining", "排空中";
    ineligible: "Not eligible", "不可调度";
    initializing: "Starting", "初始化中";
    disconnected: "Disconnected", "已断开";
    down: "Down", "离线";
    canceled: "Canceled", "已取消";
    paused: "Paused", "已暂停";
    successful: "Successful", "成功";
    not_all_placed: "not all placed", "未全部放置";
    waiting_for_you: "waiting for you", "等待您的操作";
    exit_code: "exit code {0}", "退出码 {0}";
    w_running: "running", "运行中";
    w_canary: "canary", "金丝雀";
    w_pending: "pending", "等待中";
    w_blocked: "blocked", "受阻";
    w_degraded: "degraded", "已降级";
    w_draining: "draining", "排空中";
    w_failed: "failed", "失败";
    w_lost: "lost", "丢失";
    w_complete: "complete", "完成";
    w_stopped: "stopped", "停止";
    w_waiting: "waiting", "待放置";
    // Numbers and times
    now: "now", "刚刚";
    x_ago: "{0} ago", "{0} 前";
    n_of_m: "{0} of {1}", "{0} / {1}";
    of_x: "of {0}", "/ {0}";
    n_of_m_placed: "{0} of {1} placed", "已放置 {0} / {1}";
    canaries_of: "canaries {0}/{1}", "金丝雀 {0}/{1}";
    one_child: "{0} child", "{0} 个子作业";
    n_children: "{0} children", "{0} 个子作业";
    n_older_children: "{0} older children", "更早的 {0} 个子作业";
    n_jobs: "{0} jobs", "{0} 个作业";
    chart_says: "{0} between {1} and {2} {3}", "{0}：{1} 至 {2} {3}";
    // The Jobs list
    run_a_job: "Run a job", "运行作业";
    filter_jobs: "Filter jobs", "筛选作业";
    filter_by_name: "Filter by name", "按名称筛选";
    filters: "Filters", "筛选";
    clear_filters: "Clear filters", "清除筛选";
    no_jobs: "No jobs yet", "还没有作业";
    no_jobs_text: "A job says what should run. Write one here, or run it from the command line with tarpan job run.", "作业说明应当运行什么。可以在此编写，也可以用命令行 tarpan job run 运行。";
    nothing_matches: "Nothing matches", "没有匹配项";
    nothing_matches_text: "No job matches what you filter by.", "没有符合筛选条件的作业。";
    show_children: "Show children", "显示子作业";
    name: "Name", "名称";
    status: "Status", "状态";
    kind: "Type", "类型";
    namespace: "Namespace", "命名空间";
    node_pool: "Node pool", "节点池";
    pool: "Pool", "节点池";
    datacenter: "Datacenter", "数据中心";
    version: "Version", "版本";
    priority: "Priority", "优先级";
    changed: "Changed", "变更";
    no_difference: "No difference", "没有差异";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_any_order() {
        assert_eq!(fill("{0} of {1}", &["1", "3"]), "1 of 3");
        assert_eq!(fill("{1} 中的 {0}", &["1", "3"]), "3 中的 1");
    }
}
