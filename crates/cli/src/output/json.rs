//! Answers for machines: `-json` prints sorted JSON, `-t` fills a Go template.

use serde_json::{Map, Value};
use tarpan_api::{Call, Client};

use super::sdk;
use crate::command::{Doing as _, Fail};

/// The two flags of commands that can print what the API answered.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Format {
    /// Print the answer of the API as JSON.
    #[arg(long)]
    pub json: bool,
    /// Print the answer of the API through a Go template.
    #[arg(long = "t", value_name = "template")]
    pub template: Option<String>,
}

impl Format {
    /// Whether the answer itself is wanted rather than a text made of it.
    pub fn asked(&self) -> bool {
        self.json || self.template.is_some()
    }

    /// `value` in the asked form.
    pub fn render(&self, value: &Value) -> Result<String, Fail> {
        match (&self.template, self.json) {
            (Some(_), true) => Err(Fail::new("Both json and template formatting are not allowed")),
            (Some(template), false) => fill(template, value),
            (None, _) => Ok(pretty(value, 4)),
        }
    }

    /// Prints what `call` is answered; `doing` begins the error.
    pub async fn print_answer<T>(&self, client: &Client, call: Call<T>, doing: &str) -> Result<i32, Fail> {
        self.print(&answer(client, call, doing).await?)
    }

    /// The same of a shape, or of a list of it, that the field's SDK prints in a way of its own: `shape` is one of [`sdk`].
    pub async fn print_shaped<T>(
        &self,
        client: &Client,
        call: Call<T>,
        shape: fn(&mut Map<String, Value>),
        doing: &str,
    ) -> Result<i32, Fail> {
        self.print(&sdk::each(answer(client, call, doing).await?, shape))
    }

    pub fn print(&self, value: &Value) -> Result<i32, Fail> {
        println!("{}", self.render(value)?);
        Ok(0)
    }
}

/// All of what `call` is answered, whatever of it has a type here; `doing` begins the error.
pub async fn answer<T>(client: &Client, call: Call<T>, doing: &str) -> Result<Value, Fail> {
    Ok(client.call(&call.part()).await.doing(doing)?.value)
}

/// Fills a Go template with a JSON value. A field that the value does not have is a mistake, as it is where fields have types.
pub fn fill(template: &str, value: &Value) -> Result<String, Fail> {
    let data = gotmpl::to_value(value).map_err(|e| Fail::new(format!("Error formatting the data: {e}")))?;
    gotmpl::Template::new("format")
        .missing_key(gotmpl::MissingKey::Error)
        .parse(template)
        .and_then(|t| t.execute_to_string(&data))
        .map_err(|e| Fail::new(format!("Error formatting the data: {}", in_the_words_of_go(&e.to_string()))))
}

/// A function that there is not is what most templates fail by.
fn in_the_words_of_go(error: &str) -> String {
    match error.strip_prefix("undefined function: ") {
        Some(name) => format!("template: :1: function {:?} not defined", name.trim()),
        None => error.to_owned(),
    }
}

/// JSON with sorted keys and `width` blanks a level.
pub fn pretty(value: &Value, width: usize) -> String {
    let mut out = String::new();
    write(value, width, 0, &mut out);
    out
}

fn write(value: &Value, width: usize, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width * depth));
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push('{');
            for (at, key) in keys.into_iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                line(out, depth + 1);
                out.push_str(&format!("{}: ", Value::String(key.clone())));
                write(&map[key], width, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                line(out, depth + 1);
                write(item, width, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_sorted_and_indented() {
        insta::assert_snapshot!(pretty(&json!({"B": [1, {}], "A": null, "C": []}), 4), @r#"
        {
            "A": null,
            "B": [
                1,
                {}
            ],
            "C": []
        }
        "#);
    }

    #[test]
    fn templates_are_filled() {
        let value = json!([{"ID": "a"}, {"ID": "b"}]);
        assert_eq!(fill("{{range .}}{{.ID}};{{end}}", &value).expect("a good template"), "a;b;");
        assert!(fill("{{range", &value).is_err());
        let Err(wrong) = fill("{{range .}}{{.Id}}{{end}}", &value) else { panic!("no field has that name") };
        assert!(format!("{wrong:?}").contains("Id"), "the name that is wrong is said: {wrong:?}");
    }
}
