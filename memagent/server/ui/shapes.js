// What a description says of data, in words that are read at a glance; and an example of it.

export class Shapes {
  constructor(description) {
    this.named = description.components?.schemas || {};
  }

  // The schema that is meant; of names that are on the way already, or too deep, only the name.
  resolved(schema, on) {
    const name = schema.$ref?.split("/").at(-1);
    if (!name) return { schema, on };
    if (on.includes(name) || on.length > 3) return { name };
    return { schema: this.named[name] || {}, on: [...on, name] };
  }

  told(given = {}, indent = "", above = []) {
    const { schema, on, name } = this.resolved(given, above);
    if (name) return name.split("__").at(-1);
    const several = schema.anyOf || schema.oneOf;
    if (several) return [...new Set(several.map((each) => this.told(each, indent, on)))].join(" | ");
    if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.type === "array") return `[${this.told(schema.items, indent, on)}, …]`;
    if (schema.properties) {
      const inner = `${indent}  `;
      const lines = Object.entries(schema.properties).map(([key, each]) =>
        `${inner}${key}${schema.required?.includes(key) ? "" : "?"}: ${this.told(each, inner, on)}`);
      return `{\n${lines.join("\n")}\n${indent}}`;
    }
    if (schema.type === "object") return typeof schema.additionalProperties === "object" ? `{…: ${this.told(schema.additionalProperties, indent, on)}}` : "{…}";
    const bounds = ["minimum", "maximum", "minLength", "maxLength"].filter((each) => each in schema).map((each) => `${each} ${schema[each]}`);
    const more = [schema.format, ...bounds].filter(Boolean).join(", ");
    return `${schema.type || "anything"}${more ? ` (${more})` : ""}`;
  }

  // What must be there; where nothing must, the first of what may.
  example(given = {}, above = []) {
    const { schema, on } = this.resolved(given, above);
    if (!schema) return null;
    if (schema.default !== undefined && schema.default !== null) return schema.default;
    if (schema.enum) return schema.enum[0];
    if (schema.const !== undefined) return schema.const;
    const one = (schema.anyOf || schema.oneOf)?.find((each) => each.type !== "null");
    if (one) return this.example(one, on);
    if (schema.type === "array") return schema.items ? [this.example(schema.items, on)] : [];
    if (schema.properties) {
      const keys = schema.required || Object.keys(schema.properties).slice(0, 3);
      return Object.fromEntries(keys.map((key) => [key, this.example(schema.properties[key], on)]));
    }
    return { object: {}, integer: schema.minimum ?? 0, number: 0, boolean: false, string: "" }[schema.type] ?? null;
  }
}
